/* The step for one element type. Included once per type by kernel.c, which defines REAL, MASK (the unsigned
 * integer as wide as REAL), REAL_MAX, ABS, STEP and the names of the passes.
 *
 * Every conditional in a lane loop is a select of values that are both computed, so that the compiler can
 * turn the loop into vectors; `x > hi ? hi : x` has one meaning for NaN and signed zeros everywhere. Faults
 * are rare: a row is first asked whether it has any, and only then are fault bits read and written.
 */

/* 1. Take over waiting commands. Most ticks have none: commands are ten times slower than ticks.
 * `fresh` stays set only where the whole command was good. */
INLINE void TAKE(const struct context *c, size_t begin, size_t size)
{
    uint32_t *fresh = c->fresh + begin, rejected[TILE], any_rejected = 0;
    LANE_LOOP
    for (size_t n = 0; n < size; n++)
        rejected[n] = 0;
    for (size_t j = 0; j < c->joints; j++) {
        const size_t at = j * c->lanes + begin;
        const REAL *q_ref = (const REAL *)c->staged_q_ref + at, *dq_ref = (const REAL *)c->staged_dq_ref + at;
        const REAL *tau_ff = (const REAL *)c->staged_tau_ff + at;
        const REAL *kp = (const REAL *)c->staged_kp + at, *kd = (const REAL *)c->staged_kd + at;
        REAL *held_q_ref = (REAL *)c->held_q_ref + at, *held_dq_ref = (REAL *)c->held_dq_ref + at;
        REAL *held_tau_ff = (REAL *)c->held_tau_ff + at;
        REAL *held_kp = (REAL *)c->held_kp + at, *held_kd = (REAL *)c->held_kd + at;
        uint32_t bits[TILE], any = 0;
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            const int good = (kp[n] >= 0) & (kd[n] >= 0) & (ABS(q_ref[n]) <= REAL_MAX)
                & (ABS(dq_ref[n]) <= REAL_MAX) & (ABS(tau_ff[n]) <= REAL_MAX) & (kp[n] <= REAL_MAX)
                & (kd[n] <= REAL_MAX);
            const int waits = fresh[n] != 0, take = waits & good;
            bits[n] = waits & !good ? COMMAND_REJECTED : 0;
            any |= bits[n];
            const REAL old_q_ref = held_q_ref[n], old_dq_ref = held_dq_ref[n], old_tau_ff = held_tau_ff[n];
            const REAL old_kp = held_kp[n], old_kd = held_kd[n];
            held_q_ref[n] = take ? q_ref[n] : old_q_ref;
            held_dq_ref[n] = take ? dq_ref[n] : old_dq_ref;
            held_tau_ff[n] = take ? tau_ff[n] : old_tau_ff;
            held_kp[n] = take ? kp[n] : old_kp;
            held_kd[n] = take ? kd[n] : old_kd;
        }
        if (any) {
            latch(c->fault + at, rejected, bits, size);
            any_rejected = 1;
        }
    }
    if (any_rejected) {
        uint32_t *unit_fault = c->unit_fault + begin;
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            unit_fault[n] |= rejected[n];
            fresh[n] = rejected[n] ? 0 : fresh[n];
        }
    }
}

/* 2. Judge the sensors. */
INLINE void JUDGE(const struct context *c, size_t begin, size_t size)
{
    for (size_t j = 0; j < c->joints; j++) {
        const size_t at = j * c->lanes + begin;
        const REAL *q = (const REAL *)c->q + at, *dq = (const REAL *)c->dq + at;
        const REAL trip = ((const REAL *)c->parameters)[j * PARAMETERS + DQ_TRIP];
        const REAL bound = trip < REAL_MAX ? trip : REAL_MAX;
        MASK sound = ALL;
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            sound &= ABS(q[n]) <= REAL_MAX ? ALL : 0;
            sound &= ABS(dq[n]) <= bound ? ALL : 0;
        }
        if (!sound) {
            const uint32_t *states = c->state + begin;
            uint32_t bits[TILE];
            LANE_LOOP
            for (size_t n = 0; n < size; n++) {
                const REAL speed = ABS(dq[n]);
                const int finite = (ABS(q[n]) <= REAL_MAX) & (speed <= REAL_MAX);
                const int powered = (states[n] == RUN) | (states[n] == STOPPING);
                bits[n] = (finite ? 0 : SENSOR_NOT_FINITE) | ((speed > trip) & powered ? OVER_SPEED : 0);
            }
            latch(c->fault + at, c->unit_fault + begin, bits, size);
        }
    }
}

INLINE void MOVING(const struct context *c, size_t begin, size_t size, uint32_t *moving)
{
    for (size_t n = 0; n < size; n++)
        moving[n] = 0;
    for (size_t j = 0; j < c->joints; j++) {
        const REAL *dq = (const REAL *)c->dq + j * c->lanes + begin;
        const REAL slow = ((const REAL *)c->parameters)[j * PARAMETERS + DQ_SLOW];
        LANE_LOOP
        for (size_t n = 0; n < size; n++)
            moving[n] |= ABS(dq[n]) > slow ? 1 : 0;
    }
}

/* Masks are all ones or all zeros. Joined as integers they stay masks: as conditions the compiler would
 * spread them over several selects. */
INLINE REAL KEEP(MASK mask, REAL x)
{
    MASK bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= mask;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 5. The law, for one joint whose `q_ref` is clamped. `runs` is all zeros for a braking one. */
INLINE REAL PD(REAL q_ref, REAL dq_ref, REAL tau_ff, REAL kp, REAL kd, REAL kd_stop, REAL q, REAL dq, MASK runs)
{
    dq_ref = KEEP(runs, dq_ref);
    kd = runs ? kd : kd_stop;
    return KEEP(runs, kp) * (q_ref - q) + kd * (dq_ref - dq) + KEEP(runs, tau_ff);
}

INLINE REAL CLAMP(REAL x, REAL lower, REAL upper)
{
    x = x > upper ? upper : x;
    return x < lower ? lower : x;
}

/* 4 to 9. The law and its limits. `all_run` is a constant of the call: true where every unit runs, which
 * leaves the selects by state out. `physics` is a constant too: null for ideal actuators. */
INLINE void LAW(const struct context *c, size_t begin, size_t size, const MASK *run, const MASK *powered, int all_run,
    const struct physics *physics)
{
    const REAL *commands[5] = {c->held_q_ref, c->held_dq_ref, c->held_tau_ff, c->held_kp, c->held_kd};
    if (physics && physics->slots)
        for (size_t k = 0; k < 5; k++)
            commands[k] = (const REAL *)physics->ring
                + ((*physics->cursor + 1) % physics->slots * 5 + k) * c->joints * c->lanes;
    for (size_t j = 0; j < c->joints; j++) {
        const size_t at = j * c->lanes + begin;
        const REAL *held_q_ref = commands[0] + at, *held_dq_ref = commands[1] + at;
        const REAL *held_tau_ff = commands[2] + at, *held_kp = commands[3] + at, *held_kd = commands[4] + at;
        const REAL *supply = physics ? (const REAL *)physics->supply + begin : 0;
        const REAL *winding = physics ? (const REAL *)physics->winding + at : 0;
        const REAL *x = physics ? (const REAL *)physics->parameters + j * PHYSICS_PARAMETERS : 0;
        REAL *q_motor = physics ? (REAL *)physics->q_motor + at : 0;
        const REAL *measured_q = (const REAL *)c->q + at, *measured_dq = (const REAL *)c->dq + at;
        REAL *tau_last = (REAL *)c->tau + at;
        const REAL *p = (const REAL *)c->parameters + j * PARAMETERS;
        const REAL q_min = p[Q_MIN], q_max = p[Q_MAX], dq_max = p[DQ_MAX], tau_most = p[TAU_MAX];
        const REAL slope = p[TAU_SLOPE], v_nominal = p[V_NOLOAD], tau_step = p[TAU_STEP], kd_stop = p[KD_STOP];
        const REAL half = physics ? x[HALF_BACKLASH] : 0;
        const REAL limit = physics ? x[DERATE_LIMIT] : 0, derate = physics ? x[DERATE_SLOPE] : 0;
        MASK odd = 0;
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            const MASK runs = all_run ? ALL : run[n], has_power = all_run ? ALL : powered[n];
            const REAL q = measured_q[n], dq = measured_dq[n], last = tau_last[n];
            const REAL q_ref = CLAMP(held_q_ref[n], q_min, q_max), dq_ref = CLAMP(held_dq_ref[n], -dq_max, dq_max);
            REAL tau_max = tau_most, v_noload = v_nominal, q_law = q;
            if (physics) {
                q_law = CLAMP(q_motor[n], q - half, q + half);
                q_motor[n] = q_law;
                /* Written so that a temperature or voltage that is no number leaves no torque. */
                REAL share = (limit - winding[n]) * derate;
                share = share > 1 ? 1 : share;
                tau_max = tau_most * KEEP(share > 0 ? ALL : 0, share);
                v_noload = v_nominal * KEEP((supply[n] >= 0) & (supply[n] <= REAL_MAX) ? ALL : 0, supply[n]);
            }
            REAL tau = PD(q_ref, dq_ref, held_tau_ff[n], held_kp[n], held_kd[n], kd_stop, q_law, dq, runs);
            const MASK nan = tau != tau ? ALL : 0, above = q > q_max ? ALL : 0, below = q < q_min ? ALL : 0;
            tau = KEEP(~nan, tau);
            tau = CLAMP(tau, last - tau_step, last + tau_step);
            const REAL upper = CLAMP(slope * (v_noload - dq), -tau_max, tau_max);
            const REAL lower = CLAMP(slope * (-v_noload - dq), -tau_max, tau_max);
            tau = CLAMP(tau, lower, upper);
            const MASK outward = (above & (tau > 0 ? ALL : 0)) | (below & (tau < 0 ? ALL : 0));
            tau_last[n] = KEEP(has_power & ~(outward | nan), tau);
            odd |= above | below | nan;
        }
        if (odd) {
            uint32_t bits[TILE];
            LANE_LOOP
            for (size_t n = 0; n < size; n++) {
                const MASK runs = all_run ? ALL : run[n], has_power = all_run ? ALL : powered[n];
                const REAL q = measured_q[n], dq = measured_dq[n];
                const REAL q_ref = CLAMP(held_q_ref[n], q_min, q_max);
                const REAL dq_ref = CLAMP(held_dq_ref[n], -dq_max, dq_max);
                const REAL q_law = physics ? q_motor[n] : q;
                const REAL tau = PD(q_ref, dq_ref, held_tau_ff[n], held_kp[n], held_kd[n], kd_stop, q_law, dq, runs);
                const uint32_t flags = (q > q_max ? POSITION_LIMIT : 0) | (q < q_min ? POSITION_LIMIT : 0)
                    | (tau != tau ? TORQUE_NOT_FINITE : 0);
                bits[n] = has_power ? flags : 0;
            }
            latch(c->fault + at, c->unit_fault + begin, bits, size);
        }
    }
}

/* A tile has a whole number of vectors: the inner loops need no remainder. */
INLINE void TICK(const struct context *c, size_t begin, size_t size)
{
    const uint32_t *states = c->state + begin, *fresh = c->fresh + begin;
    uint32_t any_fresh = 0;
    struct found found;

    LANE_LOOP
    for (size_t n = 0; n < size; n++)
        any_fresh |= fresh[n];
    if (any_fresh)
        TAKE(c, begin, size);
    JUDGE(c, begin, size);
    found = advance(c, begin, size);
    if (found.stopping) {
        uint32_t moving[TILE];
        MOVING(c, begin, size, moving);
        brake(c, begin, size, moving);
    }
    if (found.not_running | (c->physics != 0)) {
        MASK run[TILE], powered[TILE];
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            run[n] = states[n] == RUN ? ALL : 0;
            powered[n] = (states[n] == RUN) | (states[n] == STOPPING) ? ALL : 0;
        }
        if (!c->physics) {
            LAW(c, begin, size, run, powered, 0, 0);
        } else {
            if (c->physics->slots)
                DELAY(c, begin, size, run, !found.not_running);
            LAW(c, begin, size, run, powered, 0, c->physics);
            RUB(c, begin, size);
        }
    } else {
        LAW(c, begin, size, 0, 0, 1, 0);
    }
}

CLONES static void STEP(const struct context *c)
{
    for (size_t begin = 0; begin < c->lanes; begin += TILE) {
        const size_t left = c->lanes - begin, size = (left < TILE ? left : TILE) / LANES * LANES;
        /* A constant size unrolls the loops: for one robot their overhead is most of the tick. */
        if (size == LANES)
            TICK(c, begin, LANES);
        else
            TICK(c, begin, size);
    }
    if (c->physics && c->physics->slots)
        *c->physics->cursor = (*c->physics->cursor + 1) % c->physics->slots;
}
