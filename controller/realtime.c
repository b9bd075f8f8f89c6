/* The timed loop without Python: the schedule of controller/loop.py with the tick of controller/realtime_reference.py.
 *
 * One thread owns the cohorts. It never takes the GIL, allocates, logs, or waits for anybody but the clock.
 * Python leaves commands in a ring, stops and leases in atomic words, and takes snapshots from a triple buffer:
 * whoever is late over there, nothing is late here. Addresses and sizes were proved by controller/realtime_native.py.
 */
#define _GNU_SOURCE
#include "realtime_loop.h"

#include <string.h>
#include <time.h>

#ifndef REALTIME_DIGEST
#error "REALTIME_DIGEST, the digest of the sources, must be defined: build with setup.py"
#endif

static int64_t now_ns(const struct loop *l)
{
    if (l->s.virtual_now_ns)
        return *l->s.virtual_now_ns;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* A stop is heard within this time also where the period is long. */
static const int64_t NAP_NS = 50000000;

static void sleep_until(struct loop *l, int64_t due_ns)
{
    if (l->s.virtual_now_ns) {
        if (*l->s.virtual_now_ns < due_ns)
            *l->s.virtual_now_ns = due_ns;
        return;
    }
    for (;;) {
        const int64_t now = now_ns(l);
        int64_t wake = due_ns - l->s.spin_ns;
        if (now >= wake || atomic_load_explicit(&l->stop, memory_order_relaxed))
            break;
        wake = wake - now > NAP_NS ? now + NAP_NS : wake;
        const struct timespec until = {wake / 1000000000, wake % 1000000000};
        /* Interrupted or refused: the clock decides what is next. */
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0);
    }
    while (now_ns(l) < due_ns && !atomic_load_explicit(&l->stop, memory_order_relaxed))
        pause_briefly();
}

/* controller/loop.py: bin_of. */
static size_t bin_of(int64_t duration_ns)
{
    if (duration_ns < 8)
        return (size_t)duration_ns;
    const int doubling = 60 - __builtin_clzll((uint64_t)duration_ns);
    const size_t bin = 8 * (size_t)doubling + (size_t)(duration_ns >> doubling);
    return bin < BINS ? bin : BINS - 1;
}

static void note(int64_t *count, int64_t *most, int64_t duration_ns)
{
    count[bin_of(duration_ns)]++;
    *most = duration_ns > *most ? duration_ns : *most;
}

/* Who reads nothing is blind: the core stops him. */
static void blind(const struct member *m, const struct port *port)
{
    for (size_t j = 0; j < m->joints; j++)
        for (size_t n = port->first; n < port->first + port->units; n++) {
            put_real(m->q, m->is_double, j * m->lanes + n, __builtin_nan(""));
            put_real(m->dq, m->is_double, j * m->lanes + n, __builtin_nan(""));
        }
}

static void plant_failed(struct loop *l, size_t port, int32_t error)
{
    l->s.counts[PLANT_ERRORS]++;
    l->s.counts[PLANT_ERROR] = error;
    l->s.counts[PLANT_ERROR_PORT] = (int64_t)port;
}

static void stage(const struct member *m, const struct message *message)
{
    const size_t n = message->unit, size = FIELDS * (size_t)m->joints;
    const unsigned char *given = (const unsigned char *)(message->values + size);
    for (size_t f = 0; f < FIELDS; f++)
        for (size_t j = 0; j < m->joints; j++)
            if (given[f * m->joints + j])
                put_real(m->staged[f], m->is_double, j * m->lanes + n, message->values[f * m->joints + j]);
    m->fresh[n] = 1;
}

/* controller/cohort.py: _refuse_while_held. */
static uint32_t held(const struct member *m, size_t n, uint32_t *joint)
{
    if (m->stop_request[n] || atomic_load_explicit(&m->wish[n], memory_order_relaxed))
        return STOP_WAITS;
    for (size_t j = 0; j < m->joints; j++) {
        const double q = real_at(m->q, m->is_double, j * m->lanes + n);
        const double dq = real_at(m->dq, m->is_double, j * m->lanes + n);
        *joint = (uint32_t)j;
        if (!is_finite(q) || !is_finite(dq))
            return SENSOR;
        if (__builtin_fabs(dq) > m->trip_rad_s[j])
            return TOO_FAST;
    }
    return DONE;
}

/* controller/cohort.py: arm and reset. */
static uint32_t change(const struct member *m, size_t n, uint32_t kind, uint32_t *joint)
{
    if (m->state[n] != (kind == ARM ? INIT : STOPPED))
        return WRONG_STATE;
    const uint32_t answer = held(m, n, joint);
    if (answer != DONE)
        return answer;
    for (size_t j = 0; j < m->joints; j++) {
        const size_t at = j * m->lanes + n;
        m->fault[at] = 0;
        if (kind == ARM) {
            if (m->still)
                m->still[at] = 0;
            put_real(m->staged[0], m->is_double, at, real_at(m->q, m->is_double, at));
            put_real(m->staged[1], m->is_double, at, 0.0);
            put_real(m->staged[2], m->is_double, at, 0.0);
            put_real(m->staged[3], m->is_double, at, m->kp[j]);
            put_real(m->staged[4], m->is_double, at, m->kd[j]);
        }
    }
    m->unit_fault[n] = 0;
    m->fresh[n] = 0;
    if (kind == ARM)
        m->age[n] = 0;
    m->state[n] = kind == ARM ? ARMED : INIT;
    return DONE;
}

/* What waited when the tick began: a fast producer must not keep the tick here. */
static void take_messages(struct loop *l, int64_t now)
{
    const size_t end = atomic_load_explicit(&l->pushed, memory_order_acquire);
    size_t at = atomic_load_explicit(&l->taken, memory_order_relaxed);
    for (; at != end; at++) {
        const struct message *message = (const struct message *)(l->s.ring + at % l->s.slots * l->s.slot_b);
        const struct member *m = &l->s.members[message->member];
        const size_t n = message->unit;
        l->s.counts[COMMANDS]++;
        if (message->kind == TARGET && now > message->valid_until_ns)
            l->s.counts[STALE_COMMANDS]++;
        else if (message->kind == TARGET)
            stage(m, message);
        else {
            m->answer[n] = change(m, n, message->kind, &m->answer_joint[n]);
            m->answered[n] = message->number;
        }
    }
    atomic_store_explicit(&l->taken, at, memory_order_release);
}

static void take_stops(struct loop *l, int64_t now)
{
    const int any = atomic_exchange_explicit(&l->any_wish, 0, memory_order_acquire);
    for (size_t i = 0; i < l->s.member_count; i++) {
        const struct member *m = &l->s.members[i];
        for (size_t n = 0; any && n < m->units; n++)
            if (atomic_load_explicit(&m->wish[n], memory_order_relaxed))
                m->stop_request[n] |= atomic_exchange_explicit(&m->wish[n], 0, memory_order_relaxed);
        for (size_t n = 0; m->deadline_ns && n < m->units; n++) {
            const int driven = m->state[n] == ARMED || m->state[n] == RUN;
            if (driven && now >= atomic_load_explicit(&m->deadline_ns[n], memory_order_relaxed)) {
                m->stop_request[n] |= STOP_1_BIT;
                l->s.counts[LEASE_STOPS]++;
            }
        }
    }
}

static void write_torques(struct loop *l, int64_t k, int64_t now)
{
    for (size_t i = 0; i < l->s.port_count; i++) {
        const struct port *port = &l->s.ports[i];
        const int32_t error = port->write(port->self, k, now);
        if (error) {
            plant_failed(l, i, error);
            port->rest(port->self);
            const struct member *m = &l->s.members[port->member];
            for (size_t n = port->first; n < port->first + port->units; n++)
                m->stop_request[n] |= STOP_0_BIT;
        }
    }
}

static void copy_spans(unsigned char *buffer, const struct span *spans, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const unsigned char *from = spans[i].from;
        unsigned char *to = buffer + spans[i].offset_b;
        for (size_t row = 0; row < spans[i].rows; row++)
            memcpy(to + row * spans[i].row_b, from + row * spans[i].stride_b, spans[i].row_b);
    }
}

/* Every nth tick; where that one was missed, the next stands in. */
static void sample(struct loop *l, int64_t k)
{
    if (!l->s.sample_slots || k < l->sample_due)
        return;
    l->sample_due += l->s.sample_every * (1 + (k - l->sample_due) / l->s.sample_every);
    const size_t at = atomic_load_explicit(&l->sampled, memory_order_relaxed);
    if (at - atomic_load_explicit(&l->sample_taken, memory_order_acquire) == l->s.sample_slots) {
        l->s.counts[LOST_SAMPLES]++;
        return;
    }
    copy_spans(l->s.samples + at % l->s.sample_slots * l->s.sample_b, l->s.sample_spans, l->s.sample_span_count);
    atomic_store_explicit(&l->sampled, at + 1, memory_order_release);
}

static void publish(struct loop *l)
{
    copy_spans(l->s.buffers[l->filled], l->s.spans, l->s.span_count);
    const unsigned before = atomic_exchange_explicit(&l->offered, (unsigned)l->filled | UNREAD, memory_order_acq_rel);
    l->filled = (int)(before & 3);
}

static void tick(struct loop *l, int64_t k, int64_t due_ns)
{
    int64_t *counts = l->s.counts;
    const int64_t begin = now_ns(l), lateness = begin > due_ns ? begin - due_ns : 0;
    for (size_t i = 0; i < l->s.port_count; i++) {
        const struct port *port = &l->s.ports[i];
        const int32_t error = port->read(port->self, k, begin);
        if (error) {
            plant_failed(l, i, error);
            blind(&l->s.members[port->member], port);
        }
    }
    take_messages(l, begin);
    take_stops(l, begin);
    l->s.step(l->s.floor);
    write_torques(l, k, begin);
    counts[TICK] = k;
    counts[NOW_NS] = begin;
    counts[TICKS]++;
    note(counts + COUNTS, &counts[LATENESS_MAX_NS], lateness);
    sample(l, k);
    publish(l);
    note(counts + COUNTS + BINS, &counts[COST_MAX_NS], now_ns(l) - begin);
}

/* Commands age by the clock, not by the ticks that ran: the watchdog must not sleep through a stall. */
static void miss(struct loop *l, int64_t missed)
{
    l->k += missed;
    l->s.counts[MISSED] += missed;
    for (size_t i = 0; i < l->s.member_count; i++) {
        const struct member *m = &l->s.members[i];
        for (size_t n = 0; n < m->units; n++)
            m->age[n] = missed >= UINT32_MAX - m->age[n] ? UINT32_MAX : m->age[n] + (uint32_t)missed;
    }
}

/* controller/loop.py: Loop.run. `ticks` below 0: until `stop`. */
EXPORT void palaestra_loop_run(struct loop *l, int64_t ticks)
{
    if (!l->begun) {
        l->begun = 1;
        l->s.counts[START_NS] = now_ns(l);
    }
    const int64_t start = l->s.counts[START_NS], period = l->s.period_ns, end = l->k + ticks;
    for (;;) {
        /* Also before the end: what was missed until then is accounted for. */
        int64_t newest = (now_ns(l) - start) / period;
        newest = ticks >= 0 && newest > end ? end : newest;
        if (newest > l->k)
            miss(l, newest - l->k);
        if ((ticks >= 0 && l->k == end) || atomic_load_explicit(&l->stop, memory_order_acquire))
            break;
        const int64_t due = start + l->k * period;
        sleep_until(l, due);
        if (!l->s.virtual_now_ns && now_ns(l) < due)
            break; /* told to stop meanwhile */
        tick(l, l->k, due);
        l->k++;
    }
}

/* Take the torque off everything, through the core and the plants. */
EXPORT void palaestra_loop_end(struct loop *l)
{
    for (size_t i = 0; i < l->s.member_count; i++) {
        const struct member *m = &l->s.members[i];
        for (size_t n = 0; n < m->units; n++)
            if (m->state[n] == ARMED || m->state[n] == RUN || m->state[n] == STOPPING)
                m->stop_request[n] |= STOP_0_BIT;
    }
    l->s.step(l->s.floor);
    write_torques(l, l->k, now_ns(l));
    for (size_t i = 0; i < l->s.port_count; i++)
        l->s.ports[i].rest(l->s.ports[i].self);
    publish(l);
}

EXPORT void palaestra_loop_setup(struct loop *l, const struct setup *setup)
{
    memset(l, 0, sizeof *l);
    l->s = *setup;
    l->filled = 0;
    l->reading = 1;
    atomic_store(&l->offered, 2);
    for (int i = 0; i < GRANTS; i++)
        atomic_store(&l->grants[i], -1);
}

/* One producer at a time. Returns 1 where the ring is full. */
EXPORT int32_t palaestra_loop_push(struct loop *l, const struct message *message)
{
    const size_t at = atomic_load_explicit(&l->pushed, memory_order_relaxed);
    if (at - atomic_load_explicit(&l->taken, memory_order_acquire) == l->s.slots)
        return 1;
    memcpy(l->s.ring + at % l->s.slots * l->s.slot_b, message, l->s.slot_b);
    atomic_store_explicit(&l->pushed, at + 1, memory_order_release);
    return 0;
}

/* Any thread, never refused. */
EXPORT void palaestra_loop_wish(struct loop *l, uint32_t member, uint32_t unit, uint32_t bits)
{
    atomic_fetch_or_explicit(&l->s.members[member].wish[unit], bits, memory_order_relaxed);
    atomic_store_explicit(&l->any_wish, 1, memory_order_release);
}

EXPORT void palaestra_loop_lease(struct loop *l, uint32_t member, uint32_t unit, int64_t deadline_ns)
{
    atomic_store_explicit(&l->s.members[member].deadline_ns[unit], deadline_ns, memory_order_relaxed);
}

/* One reader at a time: returns the buffer with the newest snapshot, which stays whole until the next call. */
EXPORT uint32_t palaestra_loop_newest(struct loop *l)
{
    if (atomic_load_explicit(&l->offered, memory_order_relaxed) & UNREAD)
        l->reading = atomic_exchange_explicit(&l->offered, l->reading, memory_order_acq_rel) & 3;
    return l->reading;
}

/* One reader at a time: samples from the last `drop` up to the returned number are whole and stay so. */
EXPORT size_t palaestra_loop_sampled(struct loop *l)
{
    return atomic_load_explicit(&l->sampled, memory_order_acquire);
}

EXPORT void palaestra_loop_drop(struct loop *l, size_t before)
{
    atomic_store_explicit(&l->sample_taken, before, memory_order_release);
}

EXPORT const char *palaestra_realtime_digest(void)
{
    return REALTIME_DIGEST;
}

EXPORT size_t palaestra_loop_bytes(void)
{
    return sizeof(struct loop);
}

EXPORT size_t palaestra_setup_bytes(void)
{
    return sizeof(struct setup);
}
