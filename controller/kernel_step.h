/* The step for one element type. Included once per type by kernel.c, which defines REAL, REAL_MAX, ABS, STEP.
 *
 * Every conditional in a lane loop is a select of values that are both computed, so that the compiler can
 * turn the loop into vectors; `x > hi ? hi : x` has one meaning for NaN and signed zeros everywhere.
 */

CLONES static void STEP(const struct context *c)
{
    const size_t joints = c->joints, lanes = c->lanes;

    for (size_t begin = 0; begin < lanes; begin += TILE) {
        /* A tile has a whole number of vectors: the inner loops need no remainder. */
        const size_t size = (lanes - begin < TILE ? lanes - begin : TILE) / LANES * LANES;
        uint32_t seen[TILE], moving[TILE], powered[TILE], run[TILE];
        uint32_t any_fresh = 0;

        for (size_t n = 0; n < size; n++) {
            const uint32_t state = c->state[begin + n];
            seen[n] = 0;
            moving[n] = 0;
            powered[n] = (state == RUN) | (state == STOPPING) ? UINT32_MAX : 0;
            any_fresh |= c->fresh[begin + n];
        }

        /* 1. Take over waiting commands. Most ticks have none: commands are ten times slower than ticks. */
        for (size_t j = 0; any_fresh && j < joints; j++) {
            const size_t at = j * lanes + begin;
            const REAL *restrict q_ref = (const REAL *)c->staged_q_ref + at;
            const REAL *restrict dq_ref = (const REAL *)c->staged_dq_ref + at;
            const REAL *restrict tau_ff = (const REAL *)c->staged_tau_ff + at;
            const REAL *restrict kp = (const REAL *)c->staged_kp + at;
            const REAL *restrict kd = (const REAL *)c->staged_kd + at;
            REAL *restrict held_q_ref = (REAL *)c->held_q_ref + at;
            REAL *restrict held_dq_ref = (REAL *)c->held_dq_ref + at;
            REAL *restrict held_tau_ff = (REAL *)c->held_tau_ff + at;
            REAL *restrict held_kp = (REAL *)c->held_kp + at;
            REAL *restrict held_kd = (REAL *)c->held_kd + at;
            uint32_t *restrict fault = c->fault + at;
            const uint32_t *restrict fresh = c->fresh + begin;
            for (size_t n = 0; n < size; n++) {
                const int good = (kp[n] >= 0) & (kd[n] >= 0) & (ABS(q_ref[n]) <= REAL_MAX)
                    & (ABS(dq_ref[n]) <= REAL_MAX) & (ABS(tau_ff[n]) <= REAL_MAX) & (ABS(kp[n]) <= REAL_MAX)
                    & (ABS(kd[n]) <= REAL_MAX);
                const int waits = fresh[n] != 0;
                const int take = waits & good;
                const uint32_t rejected = (waits & !good) ? COMMAND_REJECTED : 0;
                held_q_ref[n] = take ? q_ref[n] : held_q_ref[n];
                held_dq_ref[n] = take ? dq_ref[n] : held_dq_ref[n];
                held_tau_ff[n] = take ? tau_ff[n] : held_tau_ff[n];
                held_kp[n] = take ? kp[n] : held_kp[n];
                held_kd[n] = take ? kd[n] : held_kd[n];
                fault[n] |= rejected;
                seen[n] |= rejected;
            }
        }

        /* 2. Judge the sensors. */
        for (size_t j = 0; j < joints; j++) {
            const size_t at = j * lanes + begin;
            const REAL *restrict p = (const REAL *)c->parameters + j * PARAMETERS;
            const REAL *restrict q = (const REAL *)c->q + at;
            const REAL *restrict dq = (const REAL *)c->dq + at;
            uint32_t *restrict fault = c->fault + at;
            const REAL trip = p[DQ_TRIP], slow = p[DQ_SLOW];
            for (size_t n = 0; n < size; n++) {
                const REAL speed = ABS(dq[n]);
                const int finite = (ABS(q[n]) <= REAL_MAX) & (speed <= REAL_MAX);
                const uint32_t bits
                    = (finite ? 0 : SENSOR_NOT_FINITE) | ((speed > trip ? OVER_SPEED : 0) & powered[n]);
                fault[n] |= bits;
                seen[n] |= bits;
                moving[n] |= speed > slow ? 1 : 0;
            }
        }

        /* 3. Per unit: age, watchdog, stops, life cycle. */
        for (size_t n = 0; n < size; n++) {
            const size_t u = begin + n;
            const uint32_t *next = c->next_state;
            uint32_t state = c->state[u];
            uint32_t age = c->age[u];
            const uint32_t request = c->stop_request[u];
            if (c->fresh[u] != 0 && (seen[n] & COMMAND_REJECTED) == 0) {
                state = next[state * EVENTS + COMMAND];
                age = 0;
            } else if (age < UINT32_MAX) {
                age++;
            }
            uint32_t bits = c->unit_fault[u] | seen[n];
            bits |= state == RUN && age > c->watchdog_ticks ? WATCHDOG : 0;
            bits |= request != 0 ? STOP_REQUESTED : 0;
            if ((bits & STOP_1_FAULTS) || (request & 2))
                state = next[state * EVENTS + STOP_1];
            if ((bits & STOP_0_FAULTS) || (request & 1))
                state = next[state * EVENTS + STOP_0];
            const int stopping = state == STOPPING;
            const uint32_t stop_ticks = stopping ? c->stop_ticks[u] + 1 : 0;
            const uint32_t slow_ticks = stopping && !moving[n] ? c->slow_ticks[u] + 1 : 0;
            if (stopping && (slow_ticks >= c->dwell_ticks || stop_ticks > c->timeout_ticks))
                state = next[state * EVENTS + HALT];
            c->state[u] = state;
            c->age[u] = age;
            c->unit_fault[u] = bits;
            c->stop_ticks[u] = stop_ticks;
            c->slow_ticks[u] = slow_ticks;
            c->fresh[u] = 0;
            c->stop_request[u] = 0;
            run[n] = state == RUN;
            powered[n] = (state == RUN) | (state == STOPPING);
            seen[n] = 0;
        }

        /* 4 to 9. The law and its limits. */
        for (size_t j = 0; j < joints; j++) {
            const size_t at = j * lanes + begin;
            const REAL *restrict p = (const REAL *)c->parameters + j * PARAMETERS;
            const REAL *restrict held_q_ref = (const REAL *)c->held_q_ref + at;
            const REAL *restrict held_dq_ref = (const REAL *)c->held_dq_ref + at;
            const REAL *restrict held_tau_ff = (const REAL *)c->held_tau_ff + at;
            const REAL *restrict held_kp = (const REAL *)c->held_kp + at;
            const REAL *restrict held_kd = (const REAL *)c->held_kd + at;
            const REAL *restrict q = (const REAL *)c->q + at;
            const REAL *restrict dq = (const REAL *)c->dq + at;
            REAL *restrict tau_last = (REAL *)c->tau + at;
            uint32_t *restrict fault = c->fault + at;
            const REAL q_min = p[Q_MIN], q_max = p[Q_MAX], dq_max = p[DQ_MAX], tau_max = p[TAU_MAX];
            const REAL slope = p[TAU_SLOPE], v_noload = p[V_NOLOAD], tau_step = p[TAU_STEP], kd_stop = p[KD_STOP];
            const REAL zero = 0;
            for (size_t n = 0; n < size; n++) {
                const int runs = run[n] != 0, has_power = powered[n] != 0;
                REAL q_ref = held_q_ref[n];
                q_ref = q_ref > q_max ? q_max : q_ref;
                q_ref = q_ref < q_min ? q_min : q_ref;
                REAL dq_ref = held_dq_ref[n];
                dq_ref = dq_ref > dq_max ? dq_max : dq_ref;
                dq_ref = dq_ref < -dq_max ? -dq_max : dq_ref;
                dq_ref = runs ? dq_ref : zero;
                const REAL kp = runs ? held_kp[n] : zero;
                const REAL kd = runs ? held_kd[n] : kd_stop;
                const REAL tau_ff = runs ? held_tau_ff[n] : zero;

                REAL tau = kp * (q_ref - q[n]) + kd * (dq_ref - dq[n]) + tau_ff;
                const int overflow = has_power & (tau != tau);
                tau = overflow ? zero : tau;

                const REAL rise = tau_last[n] + tau_step, fall = tau_last[n] - tau_step;
                tau = tau > rise ? rise : tau;
                tau = tau < fall ? fall : tau;

                REAL upper = slope * (v_noload - dq[n]);
                upper = upper > tau_max ? tau_max : upper;
                upper = upper < -tau_max ? -tau_max : upper;
                REAL lower = slope * (-v_noload - dq[n]);
                lower = lower > tau_max ? tau_max : lower;
                lower = lower < -tau_max ? -tau_max : lower;
                tau = tau > upper ? upper : tau;
                tau = tau < lower ? lower : tau;

                const int above = q[n] > q_max, below = q[n] < q_min;
                tau = (above & (tau > 0)) ? zero : tau;
                tau = (below & (tau < 0)) ? zero : tau;
                tau_last[n] = (has_power & !overflow) ? tau : zero;

                const uint32_t bits = ((has_power & (above | below)) ? POSITION_LIMIT : 0)
                    | (overflow ? TORQUE_NOT_FINITE : 0);
                fault[n] |= bits;
                seen[n] |= bits;
            }
        }
        for (size_t n = 0; n < size; n++)
            c->unit_fault[begin + n] |= seen[n];
    }
}
