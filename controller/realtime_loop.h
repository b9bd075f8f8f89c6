/* What a loop consists of. Mirrored in controller/realtime_native.py. */
#ifndef PALAESTRA_REALTIME_LOOP_H
#define PALAESTRA_REALTIME_LOOP_H

#include "realtime.h"

#include <pthread.h>
#include <stdatomic.h>

/* controller/safety.py: State. */
enum { INIT, ARMED, RUN, STOPPING, STOPPED };

/* controller/loop.py: BINS. */
enum { BINS = 272 };

/* controller/realtime_record.py: COUNTS. After them come the histograms of lateness and cost. */
enum {
    TICK, NOW_NS, START_NS, TICKS, MISSED, LATENESS_MAX_NS, COST_MAX_NS, COMMANDS, STALE_COMMANDS, LEASE_STOPS,
    PLANT_ERRORS, PLANT_ERROR, PLANT_ERROR_PORT, LOST_SAMPLES, COUNTS = 16
};

/* controller/realtime_record.py: Kind and Answer. */
enum { TARGET, ARM, RESET };
enum { NOT_ASKED, DONE, WRONG_STATE, STOP_WAITS, SENSOR, TOO_FAST };

/* controller/realtime_record.py: Grant. What the system was asked for: an errno, 0 for granted, -1 for not asked. */
enum { SCHED_FIFO_GRANT, LOCK_GRANT, AFFINITY_GRANT, SLACK_GRANT, GRANTS };

enum { FIELDS = 5, STOP_1_BIT = 2, STOP_0_BIT = 1 };

/* One cohort. Arrays of joints are (joints, lanes), arrays of units (lanes,): controller/block.py. */
struct member {
    void *staged[FIELDS];
    void *q, *dq;
    uint32_t *fault, *fresh, *age, *state, *stop_request, *unit_fault;
    uint32_t *still; /* of the inspection, (joints, lanes); null: joints are not inspected */
    const double *trip_rad_s, *kp, *kd; /* (joints,) */
    _Atomic uint32_t *wish; /* stops asked for by other threads, (units,) */
    _Atomic int64_t *deadline_ns; /* of each unit's lease, (units,); null: no leases */
    uint32_t *answered, *answer, *answer_joint; /* (units,) */
    uint32_t is_double, joints, lanes, units;
};

struct message {
    int64_t valid_until_ns;
    uint32_t kind, member, unit, number;
    double values[]; /* FIELDS * joints numbers, then as many bytes: which of them are given */
};

/* One array of a snapshot or a sample: `rows` rows out of memory that has `stride_b` bytes to a row. */
struct span {
    const void *from;
    size_t stride_b, row_b, rows, offset_b;
};

struct setup {
    int64_t period_ns, spin_ns;
    int64_t *virtual_now_ns; /* null: the monotonic clock */
    void (*step)(const void *floor);
    const void *floor;
    const struct member *members;
    const struct port *ports;
    unsigned char *ring;
    const struct span *spans, *sample_spans;
    unsigned char *buffers[3], *samples;
    int64_t *counts;
    size_t slots, slot_b, sample_slots, sample_b;
    uint32_t member_count, port_count, span_count, sample_span_count, sample_every;
    int32_t priority, cpu, lock_memory; /* 0, -1, 0: not asked for */
};

struct loop {
    struct setup s;
    int64_t k, sample_due;
    int begun, filled; /* the buffer that is being filled */
    pthread_t thread;
    _Atomic int32_t grants[GRANTS];
    _Atomic int started, finished;
    _Alignas(64) _Atomic int stop;
    _Atomic int any_wish;
    _Alignas(64) _Atomic size_t pushed;
    _Alignas(64) _Atomic size_t taken;
    _Alignas(64) _Atomic size_t sampled;
    _Alignas(64) _Atomic size_t sample_taken;
    _Alignas(64) _Atomic unsigned offered; /* the newest complete buffer; bit 2: not read yet */
    unsigned reading; /* the reader's own */
};

enum { UNREAD = 4 };

/* realtime.c, for the thread. */
void palaestra_loop_run(struct loop *l, int64_t ticks);
void palaestra_loop_end(struct loop *l);

#endif
