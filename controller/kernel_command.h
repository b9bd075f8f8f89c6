/* From the commands in force to those that the law is told, for one element type: delay, random delay, learned
 * actuators. Equals controller/delay.py and controller/network.py bit for bit; read those files.
 */

/* Store the commands in force in this tick's slot. A unit that does not run loses the gains and torques of all
 * slots. */
INLINE void OF(store)(const struct context *c, size_t begin, size_t size, const MASK *run, int all_run)
{
    const struct physics *x = c->physics;
    const REAL *held[5] = {c->held_q_ref, c->held_dq_ref, c->held_tau_ff, c->held_kp, c->held_kd};
    /* It may have been restored from a checkpoint that anybody wrote: never further than the ring. */
    const size_t cursor = *x->cursor % x->slots;
    for (size_t k = 0; k < 5; k++)
        for (size_t j = 0; j < c->joints; j++) {
            const size_t at = j * c->lanes + begin;
            memcpy((REAL *)x->ring + (cursor * 5 + k) * c->joints * c->lanes + at, held[k] + at,
                size * sizeof(REAL));
        }
    for (size_t slot = 0; !all_run && slot < x->slots; slot++)
        for (size_t row = 2 * c->joints; row < 5 * c->joints; row++) {
            REAL *kept = (REAL *)x->ring + (slot * 5 * c->joints + row) * c->lanes + begin;
            LANE_LOOP
            for (size_t n = 0; n < size; n++)
                kept[n] = OF(keep)(run[n], kept[n]);
        }
}

/* Draw each joint's delay and tell the command of that age, but never one older than the last tick's. */
INLINE void OF(scatter)(const struct context *c, size_t begin, size_t size)
{
    const struct physics *x = c->physics;
    const size_t plane = (size_t)c->joints * c->lanes;
    for (size_t j = 0; j < c->joints; j++) {
        const size_t at = j * c->lanes + begin;
        uint32_t *lags = x->lag + at;
        const uint32_t *keys = x->key + begin;
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            const uint32_t word = philox(*x->tick, (uint32_t)j, keys[n], x->seed[0], x->seed[1]);
            const uint32_t drawn = x->delay_ticks + (uint32_t)((uint64_t)word * (x->jitter_ticks + 1) >> 32);
            const uint32_t older = lags[n] + 1;
            lags[n] = drawn < older ? drawn : older;
        }
        for (size_t n = 0; n < size; n++) {
            const size_t slot = (*x->cursor + x->slots - lags[n]) % x->slots;
            for (size_t k = 0; k < 5; k++)
                ((REAL *)x->told)[k * plane + at + n] = ((const REAL *)x->ring)[(slot * 5 + k) * plane + at + n];
        }
    }
}

/* Pass the inputs of `LANES` lanes through the layers; the torques are left in `a[0]`. Sums run over the inputs
 * in their order, so that they are the same in every build. */
INLINE void OF(infer)(const struct network *net, REAL a[WIDTH_MOST][LANES], REAL power_most)
{
    const REAL *weights = net->weights;
    REAL b[WIDTH_MOST][LANES];
    for (uint32_t layer = 0; layer < net->layers; layer++) {
        const uint32_t inputs = net->widths[layer], outputs = net->widths[layer + 1];
        const REAL *biases = weights + (size_t)inputs * outputs;
        for (uint32_t o = 0; o < outputs; o++) {
            REAL sum[LANES];
            for (size_t n = 0; n < LANES; n++)
                sum[n] = biases[o];
            for (uint32_t i = 0; i < inputs; i++) {
                const REAL w = weights[o * inputs + i];
                for (size_t n = 0; n < LANES; n++)
                    sum[n] += w * a[i][n];
            }
            memcpy(b[o], sum, sizeof sum);
        }
        weights = biases + outputs;
        const int last = layer + 1 == net->layers;
        for (uint32_t o = 0; o < outputs; o++) {
            if (last) {
                memcpy(a[o], b[o], sizeof b[o]);
            } else if (net->activation == SOFTSIGN) {
                for (size_t n = 0; n < LANES; n++)
                    a[o][n] = b[o][n] / (1 + ABS(b[o][n]));
            } else if (net->activation == TANH) {
                for (size_t n = 0; n < LANES; n++) {
                    const REAL y = OF(clamp)((REAL)2.8853900817779268 * b[o][n], -power_most, power_most);
                    a[o][n] = 1 - 2 / (OF(exp2)(y) + 1);
                }
            } else {
                for (size_t n = 0; n < LANES; n++)
                    a[o][n] = b[o][n] > 0 ? b[o][n] : 0;
            }
        }
    }
}

/* One joint's network for `count` of the lanes from `at` on, at most LANES: those beyond may be another thread's.
 * `count` is LANES as a constant wherever there are so many. */
INLINE void OF(learn_lanes)(const struct context *c, size_t j, size_t at, size_t count, const MASK *run)
{
    const struct physics *x = c->physics;
    const struct network *net = &x->networks[x->network_of[j]];
    const size_t plane = (size_t)c->joints * c->lanes;
    const uint32_t moments = net->widths[0] / 2, slots = x->history_slots, now = *x->tick % slots;
    const REAL *p = (const REAL *)c->parameters + j * PARAMETERS;
    const REAL q_min = p[Q_MIN], q_max = p[Q_MAX];
    const REAL power_most = ((const REAL *)x->parameters)[j * PHYSICS_PARAMETERS + POWER_MOST];
    const REAL position_scale = (REAL)net->position_scale, velocity_scale = (REAL)net->velocity_scale;
    const REAL torque_scale = (REAL)net->torque_scale;
    REAL *told = (REAL *)x->told + at, *history = (REAL *)x->history + at, a[WIDTH_MOST][LANES];
    for (size_t n = 0; n < count; n++) {
        const REAL error = OF(clamp)(told[n], q_min, q_max) - ((const REAL *)c->q)[at + n];
        history[(now * 2) * plane + n] = error;
        history[(now * 2 + 1) * plane + n] = ((const REAL *)c->dq)[at + n];
    }
    for (uint32_t row = 0; row < 2 * slots; row++)
        for (size_t n = 0; n < count; n++) {
            REAL *kept = history + row * plane + n;
            *kept = OF(keep)(run[n], *kept);
        }
    for (uint32_t i = 0; i < moments; i++) {
        const uint32_t then = (now + slots - i * net->stride) % slots;
        const REAL *errors = history + then * 2 * plane, *speeds = errors + plane;
        for (size_t n = 0; n < LANES; n++) {
            a[i][n] = n < count ? errors[n] * position_scale : 0;
            a[moments + i][n] = n < count ? speeds[n] * velocity_scale : 0;
        }
    }
    OF(infer)(net, a, power_most);
    for (size_t n = 0; n < count; n++) {
        told[2 * plane + n] = a[0][n] * torque_scale;
        told[3 * plane + n] = 0;
        told[4 * plane + n] = 0;
    }
}

/* Where a joint has a network, its torque takes the place of gains and feed-forward torque. */
INLINE void OF(learn)(const struct context *c, size_t begin, size_t size, const REAL *const *commands, const MASK *run)
{
    const struct physics *x = c->physics;
    const size_t plane = (size_t)c->joints * c->lanes;
    REAL *told = (REAL *)x->told;
    for (size_t j = 0; j < c->joints; j++) {
        const size_t at = j * c->lanes + begin;
        for (size_t k = 0; k < 5; k++)
            if (told + k * plane != commands[k])
                memcpy(told + k * plane + at, commands[k] + at, size * sizeof(REAL));
        if (x->network_of[j] < 0)
            continue;
        for (size_t from = 0; from < size; from += LANES) {
            if (size - from >= LANES)
                OF(learn_lanes)(c, j, at + from, LANES, run + from);
            else
                OF(learn_lanes)(c, j, at + from, size - from, run + from);
        }
    }
}
