/* The step for one element type. Included once per type by kernel.c, after kernel_real.h.
 *
 * Faults are rare: a row is first asked whether it has any, and only then are fault bits read and written.
 */

/* 1. Take over waiting commands. Most ticks have none: commands are ten times slower than ticks.
 * `fresh` stays set only where the whole command was good. */
INLINE void OF(take)(const struct context *c, size_t begin, size_t size)
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
        MASK changes = 0;
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            const int good = (kp[n] >= 0) & (kd[n] >= 0) & (ABS(q_ref[n]) <= REAL_MAX)
                & (ABS(dq_ref[n]) <= REAL_MAX) & (ABS(tau_ff[n]) <= REAL_MAX) & (kp[n] <= REAL_MAX)
                & (kd[n] <= REAL_MAX);
            const int waits = fresh[n] != 0, take = waits & good;
            bits[n] = waits & !good ? COMMAND_REJECTED : 0;
            any |= bits[n];
            const REAL old_q_ref = held_q_ref[n];
            const MASK other = (OF(bits)(dq_ref[n]) ^ OF(bits)(held_dq_ref[n]))
                | (OF(bits)(tau_ff[n]) ^ OF(bits)(held_tau_ff[n])) | (OF(bits)(kp[n]) ^ OF(bits)(held_kp[n]))
                | (OF(bits)(kd[n]) ^ OF(bits)(held_kd[n]));
            changes |= take ? other : 0;
            held_q_ref[n] = take ? q_ref[n] : old_q_ref;
        }
        /* Most commands bring a position alone: what stays is not written, nor the memory of rows that are zero used. */
        if (changes) {
            LANE_LOOP
            for (size_t n = 0; n < size; n++) {
                const int take = (fresh[n] != 0) & (bits[n] == 0);
                const REAL old_dq_ref = held_dq_ref[n], old_tau_ff = held_tau_ff[n];
                const REAL old_kp = held_kp[n], old_kd = held_kd[n];
                held_dq_ref[n] = take ? dq_ref[n] : old_dq_ref;
                held_tau_ff[n] = take ? tau_ff[n] : old_tau_ff;
                held_kp[n] = take ? kp[n] : old_kp;
                held_kd[n] = take ? kd[n] : old_kd;
            }
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
INLINE void OF(judge)(const struct context *c, size_t begin, size_t size)
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

INLINE void OF(find_moving)(const struct context *c, size_t begin, size_t size, uint32_t *moving)
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

/* 5. The law, for one joint whose `q_ref` is clamped. `runs` is all zeros for a braking one. */
INLINE REAL OF(pd)(REAL q_ref, REAL dq_ref, REAL tau_ff, REAL kp, REAL kd, REAL kd_stop, REAL q, REAL dq, MASK runs)
{
    dq_ref = OF(keep)(runs, dq_ref);
    kd = runs ? kd : kd_stop;
    return OF(keep)(runs, kp) * (q_ref - q) + kd * (dq_ref - dq) + OF(keep)(runs, tau_ff);
}

/* 4 to 9. The law and its limits. `all_run` is a constant of the call: true where every unit runs, which
 * leaves the selects by state out. `physics` is a constant too: null for ideal actuators. */
INLINE void OF(law)(const struct context *c, size_t begin, size_t size, const REAL *const *commands, const MASK *run,
    const MASK *powered, int all_run, const struct physics *physics)
{
    REAL usable_supply[TILE];
    if (physics) {
        const REAL *supply = (const REAL *)physics->supply + begin;
        LANE_LOOP
        for (size_t n = 0; n < size; n++)
            usable_supply[n] = OF(keep)((supply[n] >= 0) & (supply[n] <= REAL_MAX) ? ALL : 0, supply[n]);
    }
    for (size_t j = 0; j < c->joints; j++) {
        const REAL *p = (const REAL *)c->parameters + j * PARAMETERS;
        const REAL *x = physics ? (const REAL *)physics->parameters + j * PHYSICS_PARAMETERS : 0;
        const REAL q_min = p[Q_MIN], q_max = p[Q_MAX], dq_max = p[DQ_MAX], tau_most = p[TAU_MAX];
        const REAL slope = p[TAU_SLOPE], v_nominal = p[V_NOLOAD], tau_step = p[TAU_STEP], kd_stop = p[KD_STOP];
        const REAL half = physics ? x[HALF_BACKLASH] : 0;
        const REAL limit = physics ? x[DERATE_LIMIT] : 0, derate = physics ? x[DERATE_SLOPE] : 0;
        /* With physics, pieces of a row: what the law has read and written is used again while it is near. */
        const size_t piece = physics ? PIECE : TILE;
        for (size_t from = 0; from < size; from += piece) {
            const size_t left = size - from, count = left < piece ? left : piece;
            const size_t at = j * c->lanes + begin + from;
            const REAL *held_q_ref = commands[0] + at, *held_dq_ref = commands[1] + at;
            const REAL *held_tau_ff = commands[2] + at, *held_kp = commands[3] + at, *held_kd = commands[4] + at;
            const REAL *supply = physics ? usable_supply + from : 0;
            const REAL *winding = physics ? (const REAL *)physics->winding + at : 0;
            REAL *q_motor = physics ? (REAL *)physics->q_motor + at : 0;
            const REAL *measured_q = (const REAL *)c->q + at, *measured_dq = (const REAL *)c->dq + at;
            const MASK *run_here = all_run ? 0 : run + from, *powered_here = all_run ? 0 : powered + from;
            REAL *tau_last = (REAL *)c->tau + at;
            MASK odd = 0;
            LANE_LOOP
            for (size_t n = 0; n < count; n++) {
                const MASK runs = all_run ? ALL : run_here[n], has_power = all_run ? ALL : powered_here[n];
                const REAL q = measured_q[n], dq = measured_dq[n], last = tau_last[n];
                const REAL q_ref = OF(clamp)(held_q_ref[n], q_min, q_max);
                const REAL dq_ref = OF(clamp)(held_dq_ref[n], -dq_max, dq_max);
                REAL tau_max = tau_most, v_noload = v_nominal, q_law = q;
                if (physics) {
                    q_law = OF(clamp)(q_motor[n], q - half, q + half);
                    q_motor[n] = q_law;
                    /* Written so that a temperature or voltage that is no number leaves no torque. */
                    REAL share = (limit - winding[n]) * derate;
                    share = share > 1 ? 1 : share;
                    tau_max = tau_most * OF(keep)(share > 0 ? ALL : 0, share);
                    v_noload = v_nominal * supply[n];
                }
                REAL tau = OF(pd)(q_ref, dq_ref, held_tau_ff[n], held_kp[n], held_kd[n], kd_stop, q_law, dq, runs);
                const MASK nan = tau != tau ? ALL : 0, above = q > q_max ? ALL : 0, below = q < q_min ? ALL : 0;
                tau = OF(keep)(~nan, tau);
                tau = OF(clamp)(tau, last - tau_step, last + tau_step);
                const REAL upper = OF(clamp)(slope * (v_noload - dq), -tau_max, tau_max);
                const REAL lower = OF(clamp)(slope * (-v_noload - dq), -tau_max, tau_max);
                tau = OF(clamp)(tau, lower, upper);
                const MASK outward = (above & (tau > 0 ? ALL : 0)) | (below & (tau < 0 ? ALL : 0));
                tau_last[n] = OF(keep)(has_power & ~(outward | nan), tau);
                odd |= above | below | nan;
            }
            if (odd) {
                uint32_t bits[TILE];
                LANE_LOOP
                for (size_t n = 0; n < count; n++) {
                    const MASK runs = all_run ? ALL : run_here[n], has_power = all_run ? ALL : powered_here[n];
                    const REAL q = measured_q[n], dq = measured_dq[n];
                    const REAL q_ref = OF(clamp)(held_q_ref[n], q_min, q_max);
                    const REAL dq_ref = OF(clamp)(held_dq_ref[n], -dq_max, dq_max);
                    const REAL q_law = physics ? q_motor[n] : q;
                    const REAL tau =
                        OF(pd)(q_ref, dq_ref, held_tau_ff[n], held_kp[n], held_kd[n], kd_stop, q_law, dq, runs);
                    const uint32_t flags = (q > q_max ? POSITION_LIMIT : 0) | (q < q_min ? POSITION_LIMIT : 0)
                        | (tau != tau ? TORQUE_NOT_FINITE : 0);
                    bits[n] = has_power ? flags : 0;
                }
                latch(c->fault + at, c->unit_fault + begin + from, bits, count);
            }
            if (physics)
                OF(act)(c, j, begin + from, count);
        }
    }
}

/* 10. Is it plausible what the joints of running units measure? Each tick asks a share of the rows. */
INLINE void OF(inspect)(const struct context *c, size_t begin, size_t size)
{
    const struct inspection *x = c->inspection;
    const uint32_t *states = c->state + begin, every = x->every_ticks;
    const uint32_t frozen_looks = x->frozen_looks, stuck_looks = x->stuck_looks;
    const size_t first = (every - *x->tick % every) % every;
    for (size_t j = first; j < c->joints; j += every) {
        const size_t at = j * c->lanes + begin;
        const REAL *qs = (const REAL *)c->q + at, *taus = (const REAL *)c->tau + at;
        REAL *anchors = (REAL *)x->anchor + at, *lows = (REAL *)x->tau_low + at, *highs = (REAL *)x->tau_high + at;
        uint32_t *stills = x->still + at, bits[TILE], any = 0;
        const REAL *p = (const REAL *)x->parameters + j * INSPECTION_PARAMETERS;
        const REAL q_low = p[Q_LOW], q_high = p[Q_HIGH], travel = p[TRAVEL];
        const REAL swing_frozen = p[SWING_FROZEN], swing_stuck = p[SWING_STUCK];
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            const REAL q = qs[n], tau = taus[n], anchor = anchors[n], low = lows[n], high = highs[n];
            const uint32_t still = stills[n];
            const int stays = (states[n] == RUN) & (still != 0) & (ABS(q - anchor) <= travel);
            const uint32_t before = still & ~STIRRED, counted = (before > LOOKS_MOST ? LOOKS_MOST : before) + 1;
            const uint32_t stirred = q == anchor ? still & STIRRED : STIRRED;
            const REAL low_now = tau < low ? tau : low, high_now = tau > high ? tau : high;
            const uint32_t still_now = stays ? counted | stirred : 1;
            const REAL lowest = stays ? low_now : tau, highest = stays ? high_now : tau, swing = high - low;
            anchors[n] = stays ? anchor : q;
            lows[n] = lowest;
            highs[n] = highest;
            stills[n] = still_now;
            const uint32_t looks = still_now & ~STIRRED;
            const int judged = (states[n] == RUN) & (q > q_low) & (q < q_high), alive = (still_now & STIRRED) != 0;
            const int frozen = judged & !alive & (looks >= frozen_looks) & (swing > swing_frozen);
            const int stuck = judged & alive & (looks >= stuck_looks) & (swing > swing_stuck);
            bits[n] = (frozen ? ENCODER_FROZEN : 0) | (stuck ? JOINT_STUCK : 0);
            any |= bits[n];
        }
        if (any)
            latch(c->fault + at, c->unit_fault + begin, bits, size);
    }
}

/* `x` is a constant of the call where it is null. */
INLINE void OF(tick)(const struct context *c, size_t begin, size_t size, const struct physics *x)
{
    const uint32_t *states = c->state + begin, *fresh = c->fresh + begin;
    const REAL *commands[5] = {c->held_q_ref, c->held_dq_ref, c->held_tau_ff, c->held_kp, c->held_kd};
    uint32_t any_fresh = 0;
    struct found found;

    LANE_LOOP
    for (size_t n = 0; n < size; n++)
        any_fresh |= fresh[n];
    if (any_fresh)
        OF(take)(c, begin, size);
    OF(judge)(c, begin, size);
    found = advance(c, begin, size);
    if (found.stopping) {
        uint32_t moving[TILE];
        OF(find_moving)(c, begin, size, moving);
        brake(c, begin, size, moving);
    }
    MASK run[TILE], powered[TILE];
    if (found.not_running | (x != 0)) {
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            run[n] = states[n] == RUN ? ALL : 0;
            powered[n] = (states[n] == RUN) | (states[n] == STOPPING) ? ALL : 0;
        }
    }
    if (x && x->slots) {
        const REAL *source = (const REAL *)x->ring + (*x->cursor + 1) % x->slots * 5 * c->joints * c->lanes;
        OF(store)(c, begin, size, run, !found.not_running);
        if (x->jitter_ticks) {
            OF(scatter)(c, begin, size);
            source = x->told;
        }
        for (size_t k = 0; k < 5; k++)
            commands[k] = source + k * c->joints * c->lanes;
    }
    if (x && x->history_slots) {
        OF(learn)(c, begin, size, commands, run);
        for (size_t k = 0; k < 5; k++)
            commands[k] = (const REAL *)x->told + k * c->joints * c->lanes;
    }
    if (!x && !found.not_running)
        OF(law)(c, begin, size, commands, 0, 0, 1, 0);
    else if (!x)
        OF(law)(c, begin, size, commands, run, powered, 0, 0);
    else
        OF(law)(c, begin, size, commands, run, powered, 0, x);
    if (c->inspection)
        OF(inspect)(c, begin, size);
}

CLONES static void OF(step)(const struct context *c)
{
    for (size_t begin = 0; begin < c->lanes; begin += TILE) {
        /* A tile has a whole number of vectors: the inner loops need no remainder. */
        const size_t left = c->lanes - begin, size = (left < TILE ? left : TILE) / LANES * LANES;
        /* A constant size unrolls the loops: for one robot their overhead is most of the tick. */
        if (c->physics)
            OF(tick)(c, begin, size, c->physics);
        else if (size == LANES)
            OF(tick)(c, begin, LANES, 0);
        else
            OF(tick)(c, begin, size, 0);
    }
}

/* The same for a few lanes alone: one vector where they fill it. */
CLONES static void OF(step_lanes)(const struct context *c, size_t begin, size_t size)
{
    if (c->physics && size == FEW)
        OF(tick)(c, begin, FEW, c->physics);
    else if (c->physics)
        OF(tick)(c, begin, size, c->physics);
    else if (size == FEW)
        OF(tick)(c, begin, FEW, 0);
    else
        OF(tick)(c, begin, size, 0);
}
