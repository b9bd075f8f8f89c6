/* One tick of many cohorts. Equals controller/reference.py bit for bit; read that file for the law.
 *
 * No allocation, no checks, no Python: the addresses in `struct context` were proved by the binding.
 * Needs -ffp-contract=off and must never see -ffast-math: fused or reordered arithmetic changes bits.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef KERNEL_DIGEST
#error "KERNEL_DIGEST, the digest of the sources, must be defined: build with setup.py"
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* One library for every x86-64: the loader picks the widest vectors. musl has no ifunc, hence __GLIBC__.
 * ONE_ISA leaves the choice to -march: tests build each instruction set alone that way. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(ONE_ISA)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

/* Mirrors controller/kernel.py:_Network and controller/network.py:Network. */
enum { LAYERS_MOST = 8, WIDTH_MOST = 64 };
struct network {
    const void *weights; /* per layer: rows of weights, then biases */
    double position_scale, velocity_scale, torque_scale;
    uint32_t layers, activation, stride, widths[LAYERS_MOST + 1];
};
enum { SOFTSIGN, TANH, RELU };

/* Mirrors controller/kernel.py:_Physics and controller/physics.py:Physics. */
struct physics {
    const void *tau_external, *supply;
    void *tau_joint, *q_motor, *winding, *casing, *bristle, *ring, *told, *history;
    uint32_t *cursor, *tick, *lag;
    const uint32_t *key;
    const void *parameters;
    const struct network *networks;
    const int32_t *network_of; /* per joint; negative: none */
    uint32_t slots, delay_ticks, jitter_ticks, seed[2], history_slots;
};

/* Mirrors controller/kernel.py:_Plausibility and controller/plausibility.py:Inspection. */
struct inspection {
    void *anchor, *tau_low, *tau_high;
    uint32_t *still, *tick;
    const void *parameters;
    uint32_t every_ticks, frozen_looks, stuck_looks;
};

/* Mirrors controller/kernel.py:_Context and controller/block.py:Block. */
struct context {
    const void *staged_q_ref, *staged_dq_ref, *staged_tau_ff, *staged_kp, *staged_kd;
    void *held_q_ref, *held_dq_ref, *held_tau_ff, *held_kp, *held_kd;
    const void *q, *dq;
    void *tau;
    const void *parameters;
    uint32_t *fault, *fresh, *age, *state, *stop_request, *stop_ticks, *slow_ticks, *unit_fault;
    const struct physics *physics; /* null: ideal actuators */
    const struct inspection *inspection; /* null: joints are not inspected */
    uint32_t next_state[6]; /* per event: the states after each state, four bits each */
    uint32_t is_double, joints, lanes, watchdog_ticks, dwell_ticks, timeout_ticks;
};

struct floor {
    const struct context *contexts;
    size_t count;
};

/* controller/safety.py: State, Event, Fault. */
enum { INIT, ARMED, RUN, STOPPING, STOPPED };
enum { ARM, COMMAND, STOP_1, STOP_0, HALT, RESET, EVENTS };
#define COMMAND_REJECTED (UINT32_C(1) << 0)
#define SENSOR_NOT_FINITE (UINT32_C(1) << 1)
#define OVER_SPEED (UINT32_C(1) << 2)
#define TORQUE_NOT_FINITE (UINT32_C(1) << 3)
#define POSITION_LIMIT (UINT32_C(1) << 4)
#define ENCODER_FROZEN (UINT32_C(1) << 5)
#define JOINT_STUCK (UINT32_C(1) << 6)
#define WATCHDOG (UINT32_C(1) << 16)
#define STOP_REQUESTED (UINT32_C(1) << 17)
#define STOP_0_FAULTS (SENSOR_NOT_FINITE | TORQUE_NOT_FINITE | ENCODER_FROZEN)
#define STOP_1_FAULTS (OVER_SPEED | WATCHDOG | JOINT_STUCK)

/* controller/block.py: PARAMETERS. */
enum { Q_MIN, Q_MAX, DQ_MAX, DQ_TRIP, DQ_SLOW, TAU_MAX, TAU_SLOPE, V_NOLOAD, TAU_STEP, KD_STOP, PARAMETERS };

/* controller/physics.py: PHYSICS_PARAMETERS. */
enum {
    HALF_BACKLASH, DERATE_LIMIT, DERATE_SLOPE,
    VISCOUS, COULOMB, STRIBECK, INVERSE_SPEED, EXPONENT, POWER_MOST,
    LOAD_MOTOR, LOAD_EXTERNAL, LOAD_MOTOR_STRIBECK, LOAD_EXTERNAL_STRIBECK,
    QUAD_MOTOR, QUAD_EXTERNAL, LOSS_MOTOR, LOSS_EXTERNAL, INERTIA_RATE,
    BRISTLE_STIFFNESS, BRISTLE_DAMPING, BRISTLE_VISCOUS, BRISTLE_COULOMB, BRISTLE_STRIBECK, BRISTLE_INVERSE_SPEED,
    HEAT_BASE, HEAT_RISE, AMBIENT, WINDING_GAIN, CASE_GAIN, AMBIENT_GAIN, PERIOD, RATE,
    PHYSICS_PARAMETERS
};

/* controller/plausibility.py: INSPECTION_PARAMETERS. */
enum { Q_LOW, Q_HIGH, TRAVEL, SWING_FROZEN, SWING_STUCK, INSPECTION_PARAMETERS };

/* A bit of `still`: the joint has measured other positions since. The rest counts looks. */
#define STIRRED (UINT32_C(1) << 31)
#define LOOKS_MOST (UINT32_C(1) << 30)

/* Lanes are worked on in tiles, so long that memory is read in long runs: shorter ones keep a tile's sensors in
 * a nearer cache and still cost a third where memory is the limit. Within a row, the passes of the physics take
 * turns on pieces that stay in the first cache. */
enum { TILE = 4096, PIECE = 512, LANES = 16, FEW = 8 };

/* The rows of a block never overlap: told to GCC by name, since it does not trust many `restrict`s at once. */
#if defined(__clang__)
#define LANE_LOOP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define LANE_LOOP _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
#else
#define LANE_LOOP
#endif

/* Whatever a clone calls must be inlined into it: a function of its own would be of one instruction set. */
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* Add `bits` to the sticky faults of a row and to those of its units. */
INLINE void latch(uint32_t *fault, uint32_t *unit, const uint32_t *bits, size_t size)
{
    LANE_LOOP
    for (size_t n = 0; n < size; n++) {
        fault[n] |= bits[n];
        unit[n] |= bits[n];
    }
}

/* The state after `state`. The table of one event fits a register, four bits a state: a shift vectorises
 * where a look-up in memory does not. */
INLINE uint32_t after(uint32_t next, uint32_t state)
{
    return next >> (4 * state) & 15;
}

/* 3. Per unit: age, watchdog, stops, life cycle. `brake` does the rest where a unit brakes. */
struct found {
    uint32_t stopping, not_running;
};

INLINE struct found advance(const struct context *c, size_t begin, size_t size)
{
    uint32_t *fresh = c->fresh + begin, *ages = c->age + begin, *states = c->state + begin;
    uint32_t *requests = c->stop_request + begin, *unit_fault = c->unit_fault + begin;
    uint32_t *stop_ticks = c->stop_ticks + begin, *slow_ticks = c->slow_ticks + begin;
    const uint32_t on_command = c->next_state[COMMAND], on_stop_1 = c->next_state[STOP_1];
    const uint32_t on_stop_0 = c->next_state[STOP_0], watchdog_ticks = c->watchdog_ticks;
    uint32_t any_stopping = 0, any_not_running = 0;

    LANE_LOOP
    for (size_t n = 0; n < size; n++) {
        const uint32_t request = requests[n], stops = stop_ticks[n], rests = slow_ticks[n];
        const int complete = fresh[n] != 0;
        uint32_t state = states[n], age = ages[n];
        const uint32_t commanded = after(on_command, state);
        state = complete ? commanded : state;
        const uint32_t older = age + 1;
        age = age == UINT32_MAX ? age : older;
        age = complete ? 0 : age;

        uint32_t bits = unit_fault[n];
        const uint32_t late = age > watchdog_ticks ? WATCHDOG : 0;
        bits |= state == RUN ? late : 0;
        bits |= request != 0 ? STOP_REQUESTED : 0;
        const uint32_t braked = after(on_stop_1, state);
        state = ((bits & STOP_1_FAULTS) | (request & 2)) != 0 ? braked : state;
        const uint32_t stopped = after(on_stop_0, state);
        state = ((bits & STOP_0_FAULTS) | (request & 1)) != 0 ? stopped : state;

        const uint32_t stopping = state == STOPPING ? 1 : 0;
        states[n] = state;
        ages[n] = age;
        unit_fault[n] = bits;
        stop_ticks[n] = stopping ? stops + 1 : 0;
        slow_ticks[n] = stopping ? rests : 0;
        fresh[n] = 0;
        requests[n] = 0;
        any_stopping |= stopping;
        any_not_running |= state ^ RUN;
    }
    return (struct found){any_stopping, any_not_running};
}

INLINE void brake(const struct context *c, size_t begin, size_t size, const uint32_t *moving)
{
    uint32_t *states = c->state + begin;
    uint32_t *stop_ticks = c->stop_ticks + begin, *slow_ticks = c->slow_ticks + begin;
    const uint32_t on_halt = c->next_state[HALT], dwell_ticks = c->dwell_ticks, timeout_ticks = c->timeout_ticks;

    LANE_LOOP
    for (size_t n = 0; n < size; n++) {
        const uint32_t state = states[n], halted = after(on_halt, state), slow = slow_ticks[n] + 1;
        const uint32_t rests = (state == STOPPING) & (moving[n] == 0) ? slow : 0;
        const int ends = (rests >= dwell_ticks) | (stop_ticks[n] > timeout_ticks);
        slow_ticks[n] = rests;
        states[n] = (state == STOPPING) & ends ? halted : state;
    }
}

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011): a number that
 * belongs to its counter (tick, joint, unit, 0) and key. Returns the first of its four words. */
INLINE uint32_t philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t k0, uint32_t k1)
{
    uint32_t c3 = 0;
    for (int round = 0; round < 10; round++) {
        const uint64_t p = (uint64_t)UINT32_C(0xD2511F53) * c0, q = (uint64_t)UINT32_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)q;
        c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p;
        k0 += UINT32_C(0x9E3779B9);
        k1 += UINT32_C(0xBB67AE85);
    }
    return c0;
}

#define PASTE(a, b) a##_##b
#define NAMED(a, b) PASTE(a, b)
#define OF(name) NAMED(name, SUFFIX)

#define SUFFIX f32
#define REAL float
#define MASK uint32_t
#define ALL UINT32_MAX
#define REAL_MAX 0x1.fffffep+127f
#define ABS __builtin_fabsf
#define WIDE 0
#include "kernel_real.h"
#include "kernel_command.h"
#include "kernel_physics.h"
#include "kernel_step.h"
#undef SUFFIX
#undef REAL
#undef MASK
#undef ALL
#undef REAL_MAX
#undef ABS
#undef WIDE

#define SUFFIX f64
#define REAL double
#define MASK uint64_t
#define ALL UINT64_MAX
#define REAL_MAX 0x1.fffffffffffffp+1023
#define ABS __builtin_fabs
#define WIDE 1
#include "kernel_real.h"
#include "kernel_command.h"
#include "kernel_physics.h"
#include "kernel_step.h"

/* What all units of a context share moves on by some ticks. */
static void turn(const struct context *c, uint32_t ticks)
{
    if (c->physics) {
        if (c->physics->slots)
            *c->physics->cursor = (*c->physics->cursor + ticks) % c->physics->slots;
        *c->physics->tick += ticks;
    }
    if (c->inspection)
        *c->inspection->tick += ticks;
}

EXPORT void palaestra_step(const struct floor *floor)
{
    for (size_t i = 0; i < floor->count; i++) {
        const struct context *c = &floor->contexts[i];
        if (c->is_double)
            step_f64(c);
        else
            step_f32(c);
        turn(c, 1);
    }
}

/* One tick of the units `begin` to `begin + size` of a floor's only context, which are `ahead` ticks further than what
 * all units share; size is at most TILE. Several threads may be at it, each with units of its own. */
EXPORT void palaestra_step_lanes(const struct floor *floor, size_t begin, size_t size, uint32_t ahead)
{
    struct context c = *floor->contexts;
    struct physics physics;
    struct inspection inspection;
    uint32_t cursor, tick, looks;
    if (c.physics) {
        physics = *c.physics;
        cursor = *physics.cursor;
        tick = *physics.tick;
        physics.cursor = &cursor;
        physics.tick = &tick;
        c.physics = &physics;
    }
    if (c.inspection) {
        inspection = *c.inspection;
        looks = *inspection.tick;
        inspection.tick = &looks;
        c.inspection = &inspection;
    }
    turn(&c, ahead);
    if (c.is_double)
        step_lanes_f64(&c, begin, size);
    else
        step_lanes_f32(&c, begin, size);
}

/* Tell what all units share that each of them was stepped so many times by `palaestra_step_lanes`. */
EXPORT void palaestra_turn(const struct floor *floor, uint32_t ticks)
{
    turn(floor->contexts, ticks);
}

EXPORT const char *palaestra_digest(void)
{
    return KERNEL_DIGEST;
}

EXPORT size_t palaestra_context_bytes(void)
{
    return sizeof(struct context);
}
