/* Plants that the compiled loop can reach without Python: see controller/plants.py, which has the same ones in
 * NumPy. No allocation, no waiting. Needs -ffp-contract=off to equal its twin bit for bit.
 */
#include "realtime.h"

/* One free mass per joint. Arrays of doubles are (joints, units). */
struct joint_plant {
    struct lanes to;
    double *q, *dq, *tau;
    const double *inertia, *damping; /* (joints,) */
    double period_s;
};

EXPORT int32_t palaestra_joint_read(void *self, int64_t tick, int64_t now_ns)
{
    const struct joint_plant *p = self;
    (void)tick, (void)now_ns;
    for (size_t j = 0; j < p->to.joints; j++)
        for (size_t n = 0; n < p->to.units; n++) {
            const size_t at = j * p->to.lanes + p->to.first + n, own = j * p->to.units + n;
            put_real(p->to.q, p->to.is_double, at, p->q[own]);
            put_real(p->to.dq, p->to.is_double, at, p->dq[own]);
        }
    return PLANT_FINE;
}

EXPORT int32_t palaestra_joint_write(void *self, int64_t tick, int64_t now_ns)
{
    const struct joint_plant *p = self;
    (void)tick, (void)now_ns;
    for (size_t j = 0; j < p->to.joints; j++)
        for (size_t n = 0; n < p->to.units; n++)
            if (!is_finite(real_at(p->to.tau, p->to.is_double, j * p->to.lanes + p->to.first + n)))
                return PLANT_TORQUE;
    for (size_t j = 0; j < p->to.joints; j++)
        for (size_t n = 0; n < p->to.units; n++) {
            const size_t own = j * p->to.units + n;
            p->tau[own] = real_at(p->to.tau, p->to.is_double, j * p->to.lanes + p->to.first + n);
            const double acceleration = (p->tau[own] - p->damping[j] * p->dq[own]) / p->inertia[j];
            p->dq[own] += acceleration * p->period_s;
            p->q[own] += p->dq[own] * p->period_s;
        }
    return PLANT_FINE;
}

EXPORT void palaestra_joint_rest(void *self)
{
    const struct joint_plant *p = self;
    for (size_t own = 0; own < (size_t)p->to.joints * p->to.units; own++)
        p->tau[own] = 0.0;
}

/* Arrays in memory that another thread or process reads and writes: each side is written by one and read by one.
 * A side has two slots, a stamp and words each; `sequence` counts what was written, and slot `sequence & 1` is the
 * newest whole one. A writer that is preempted in the middle is in the other slot and holds nobody up. */
struct shared_side {
    uint64_t sequence;
    uint64_t slots[];
};

struct shared_plant {
    struct lanes to;
    struct shared_side *measured, *commanded;
    uint64_t *scratch; /* one slot's words of `measured` */
    int64_t stale_ns;
};

/* A reader tries again only where a writer finished meanwhile; one that writes all the time must not keep a tick. */
enum { SHARED_TRIES = 64 };

static uint64_t word_of(double x)
{
    uint64_t word;
    __builtin_memcpy(&word, &x, sizeof word);
    return word;
}

static double real_of(uint64_t word)
{
    double x;
    __builtin_memcpy(&x, &word, sizeof x);
    return x;
}

EXPORT void palaestra_shared_put(struct shared_side *side, const uint64_t *words, size_t count, int64_t stamp)
{
    const uint64_t next = __atomic_load_n(&side->sequence, __ATOMIC_RELAXED) + 1;
    uint64_t *slot = side->slots + (next & 1) * (1 + count);
    /* Who sees a word of this slot sees that it is no longer the newest. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&slot[0], (uint64_t)stamp, __ATOMIC_RELAXED);
    for (size_t i = 0; i < count; i++)
        __atomic_store_n(&slot[1 + i], words[i], __ATOMIC_RELAXED);
    __atomic_store_n(&side->sequence, next, __ATOMIC_RELEASE);
}

EXPORT int32_t palaestra_shared_get(const struct shared_side *side, uint64_t *words, size_t count, int64_t *stamp)
{
    for (int tries = 0; tries < SHARED_TRIES; tries++) {
        const uint64_t newest = __atomic_load_n(&side->sequence, __ATOMIC_ACQUIRE);
        const uint64_t *slot = side->slots + (newest & 1) * (1 + count);
        *stamp = (int64_t)__atomic_load_n(&slot[0], __ATOMIC_RELAXED);
        for (size_t i = 0; i < count; i++)
            words[i] = __atomic_load_n(&slot[1 + i], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&side->sequence, __ATOMIC_RELAXED) == newest)
            return newest ? PLANT_FINE : PLANT_STALE; /* 0: nobody has written yet */
    }
    return PLANT_TORN;
}

EXPORT int32_t palaestra_shared_read(void *self, int64_t tick, int64_t now_ns)
{
    const struct shared_plant *p = self;
    (void)tick;
    const size_t size = (size_t)p->to.joints * p->to.units;
    int64_t measured_ns;
    const int32_t wrong = palaestra_shared_get(p->measured, p->scratch, 2 * size, &measured_ns);
    if (wrong)
        return wrong;
    int64_t age_ns;
    if (__builtin_sub_overflow(now_ns, measured_ns, &age_ns) || age_ns > p->stale_ns || age_ns < -p->stale_ns)
        return PLANT_STALE;
    for (size_t j = 0; j < p->to.joints; j++)
        for (size_t n = 0; n < p->to.units; n++) {
            const size_t at = j * p->to.lanes + p->to.first + n, own = j * p->to.units + n;
            put_real(p->to.q, p->to.is_double, at, real_of(p->scratch[own]));
            put_real(p->to.dq, p->to.is_double, at, real_of(p->scratch[size + own]));
        }
    return PLANT_FINE;
}

EXPORT int32_t palaestra_shared_write(void *self, int64_t tick, int64_t now_ns)
{
    const struct shared_plant *p = self;
    (void)now_ns;
    const size_t size = (size_t)p->to.joints * p->to.units;
    for (size_t j = 0; j < p->to.joints; j++)
        for (size_t n = 0; n < p->to.units; n++)
            p->scratch[j * p->to.units + n] =
                word_of(real_at(p->to.tau, p->to.is_double, j * p->to.lanes + p->to.first + n));
    palaestra_shared_put(p->commanded, p->scratch, size, tick);
    return PLANT_FINE;
}

EXPORT void palaestra_shared_rest(void *self)
{
    const struct shared_plant *p = self;
    const size_t size = (size_t)p->to.joints * p->to.units;
    for (size_t i = 0; i < size; i++)
        p->scratch[i] = 0;
    palaestra_shared_put(p->commanded, p->scratch, size, -1);
}

/* A simulator that is one C call per step and whose state is arrays of doubles. One unit. */
struct stepped_plant {
    struct lanes to;
    const double *position, *velocity;
    double *control;
    const int32_t *position_at, *velocity_at, *control_at; /* (joints,) */
    void (*step)(const void *model, void *data);
    const void *model;
    void *data;
    uint32_t substeps;
};

EXPORT int32_t palaestra_stepped_read(void *self, int64_t tick, int64_t now_ns)
{
    const struct stepped_plant *p = self;
    (void)tick, (void)now_ns;
    for (size_t j = 0; j < p->to.joints; j++) {
        const size_t at = j * p->to.lanes + p->to.first;
        put_real(p->to.q, p->to.is_double, at, p->position[p->position_at[j]]);
        put_real(p->to.dq, p->to.is_double, at, p->velocity[p->velocity_at[j]]);
    }
    return PLANT_FINE;
}

EXPORT int32_t palaestra_stepped_write(void *self, int64_t tick, int64_t now_ns)
{
    const struct stepped_plant *p = self;
    (void)tick, (void)now_ns;
    for (size_t j = 0; j < p->to.joints; j++)
        if (!is_finite(real_at(p->to.tau, p->to.is_double, j * p->to.lanes + p->to.first)))
            return PLANT_TORQUE;
    for (size_t j = 0; j < p->to.joints; j++)
        p->control[p->control_at[j]] = real_at(p->to.tau, p->to.is_double, j * p->to.lanes + p->to.first);
    for (uint32_t i = 0; i < p->substeps; i++)
        p->step(p->model, p->data);
    for (size_t j = 0; j < p->to.joints; j++)
        if (!is_finite(p->position[p->position_at[j]]) || !is_finite(p->velocity[p->velocity_at[j]]))
            return PLANT_UNSTABLE;
    return PLANT_FINE;
}

EXPORT void palaestra_stepped_rest(void *self)
{
    const struct stepped_plant *p = self;
    for (size_t j = 0; j < p->to.joints; j++)
        p->control[p->control_at[j]] = 0.0;
}
