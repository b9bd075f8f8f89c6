/* What the compiled loop and its plants share. Mirrored in controller/realtime_native.py and controller/plants.py. */
#ifndef PALAESTRA_REALTIME_H
#define PALAESTRA_REALTIME_H

#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

/* One way to a plant, for one range of a cohort's units. `read` writes measurements into the cohort's arrays,
 * `write` takes torques out of them; both return 0 or what went wrong, and neither waits. `rest` takes the
 * torque off whatever happened. Called by the loop's thread alone. */
struct port {
    int32_t (*read)(void *self, int64_t tick, int64_t now_ns);
    int32_t (*write)(void *self, int64_t tick, int64_t now_ns);
    void (*rest)(void *self);
    void *self;
    uint32_t member, first, units;
};

/* Where a plant finds the rows of its units: joint-major, of either element type. */
struct lanes {
    void *q, *dq;
    const void *tau;
    uint32_t is_double, joints, lanes, first, units;
};

/* controller/plants.py: PLANT_ERRORS. */
enum { PLANT_FINE, PLANT_TORQUE, PLANT_STALE, PLANT_TORN, PLANT_UNSTABLE };

static inline double real_at(const void *array, uint32_t is_double, size_t at)
{
    return is_double ? ((const double *)array)[at] : (double)((const float *)array)[at];
}

static inline void put_real(void *array, uint32_t is_double, size_t at, double value)
{
    if (is_double)
        ((double *)array)[at] = value;
    else
        ((float *)array)[at] = (float)value;
}

static inline int is_finite(double x)
{
    return __builtin_fabs(x) <= 0x1.fffffffffffffp+1023;
}

#endif
