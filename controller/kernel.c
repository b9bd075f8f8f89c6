/* One tick of many cohorts. Equals controller/reference.py bit for bit; read that file for the law.
 *
 * No allocation, no checks, no Python: the addresses in `struct context` were proved by the binding.
 * Needs -ffp-contract=off and must never see -ffast-math: fused or reordered arithmetic changes bits.
 */
#include <stddef.h>
#include <stdint.h>

#ifndef KERNEL_DIGEST
#error "KERNEL_DIGEST, the digest of the sources, must be defined: build with setup.py"
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* One library for every x86-64: the loader picks the widest vectors. musl has no ifunc, hence __GLIBC__. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

/* Mirrors controller/kernel.py:_Context and controller/block.py:Block. */
struct context {
    const void *staged_q_ref, *staged_dq_ref, *staged_tau_ff, *staged_kp, *staged_kd;
    void *held_q_ref, *held_dq_ref, *held_tau_ff, *held_kp, *held_kd;
    const void *q, *dq;
    void *tau;
    const void *parameters;
    uint32_t *fault, *fresh, *age, *state, *stop_request, *stop_ticks, *slow_ticks, *unit_fault;
    const uint32_t *next_state;
    uint32_t is_double, joints, lanes, watchdog_ticks, dwell_ticks, timeout_ticks;
};

/* controller/safety.py: State, Event, Fault. */
enum { INIT, ARMED, RUN, STOPPING, STOPPED };
enum { ARM, COMMAND, STOP_1, STOP_0, HALT, RESET, EVENTS };
#define COMMAND_REJECTED (UINT32_C(1) << 0)
#define SENSOR_NOT_FINITE (UINT32_C(1) << 1)
#define OVER_SPEED (UINT32_C(1) << 2)
#define TORQUE_NOT_FINITE (UINT32_C(1) << 3)
#define POSITION_LIMIT (UINT32_C(1) << 4)
#define WATCHDOG (UINT32_C(1) << 16)
#define STOP_REQUESTED (UINT32_C(1) << 17)
#define STOP_0_FAULTS (SENSOR_NOT_FINITE | TORQUE_NOT_FINITE)
#define STOP_1_FAULTS (OVER_SPEED | WATCHDOG)

/* controller/block.py: PARAMETERS. */
enum { Q_MIN, Q_MAX, DQ_MAX, DQ_TRIP, DQ_SLOW, TAU_MAX, TAU_SLOPE, V_NOLOAD, TAU_STEP, KD_STOP, PARAMETERS };

/* Lanes are worked on in tiles whose rows stay in the second-level cache between the passes. */
enum { TILE = 256, LANES = 16 };

#define REAL float
#define REAL_MAX 0x1.fffffep+127f
#define ABS __builtin_fabsf
#define STEP step_f32
#include "kernel_step.h"
#undef REAL
#undef REAL_MAX
#undef ABS
#undef STEP

#define REAL double
#define REAL_MAX 0x1.fffffffffffffp+1023
#define ABS __builtin_fabs
#define STEP step_f64
#include "kernel_step.h"

EXPORT void palaestra_step(const struct context *contexts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (contexts[i].is_double)
            step_f64(&contexts[i]);
        else
            step_f32(&contexts[i]);
    }
}

EXPORT const char *palaestra_digest(void)
{
    return KERNEL_DIGEST;
}

EXPORT size_t palaestra_context_bytes(void)
{
    return sizeof(struct context);
}
