/* The physics of actuators for one element type: equals controller/physics.py bit for bit; read that file.
 * Included once per type by kernel.c, after kernel_real.h.
 */

/* exp(-x) for x >= 0, of which so much is taken that 2^-80 is its smallest value. */
INLINE REAL OF(decay)(REAL x, REAL power_most)
{
    const REAL y = (REAL)-1.4426950408889634 * x;
    return OF(exp2)(y < -power_most ? -power_most : y);
}

/* Take friction off: the torque that would stop the joint within the tick, clipped to the budget. `rests` has the
 * share of what acts at rest. `slips` and `screws` are constants of the call: without them the terms are left
 * out, which would add zero to what is not negative. */
INLINE void OF(yield)(const REAL *p, const REAL *taus, const REAL *dqs, const REAL *externals, const REAL *rests,
    REAL *tau_joint, size_t size, int slips, int screws)
{
    const REAL viscous = p[VISCOUS], coulomb = p[COULOMB], stribeck = p[STRIBECK], inertia_rate = p[INERTIA_RATE];
    const REAL load_m = p[LOAD_MOTOR], load_e = p[LOAD_EXTERNAL];
    const REAL rest_m = p[LOAD_MOTOR_STRIBECK], rest_e = p[LOAD_EXTERNAL_STRIBECK];
    const REAL quad_m = p[QUAD_MOTOR], quad_e = p[QUAD_EXTERNAL];
    const REAL loss_m = p[LOSS_MOTOR], loss_e = p[LOSS_EXTERNAL];
    LANE_LOOP
    for (size_t n = 0; n < size; n++) {
        const REAL tau = taus[n], external = OF(finite)(externals[n]), dq = OF(finite)(dqs[n]);
        REAL budget = viscous * ABS(dq) + coulomb + ABS(load_m * tau - load_e * external);
        if (slips) {
            const REAL load_rest = ABS(rest_m * tau - rest_e * external);
            const MASK opposed = tau * external < 0 ? ALL : 0;
            const MASK driven = opposed & (ABS(tau) > ABS(external) ? ALL : 0);
            const MASK driving = opposed & (ABS(tau) < ABS(external) ? ALL : 0);
            const REAL quad = OF(keep)(driven, quad_e * external * external) + OF(keep)(driving, quad_m * tau * tau);
            budget = budget + rests[n] * (stribeck + load_rest + quad);
        }
        const REAL stopping = inertia_rate * dq + tau + external;
        if (screws) {
            const MASK loaded = external * stopping > 0 ? ALL : 0;
            budget = budget + (OF(keep)(loaded, loss_e * ABS(external)) + OF(keep)(~loaded, loss_m * ABS(tau)));
        }
        tau_joint[n] = OF(finite)(tau - OF(clamp)(stopping, -budget, budget));
    }
}

/* The friction of a row's piece by the budget. */
INLINE void OF(rub)(const REAL *p, const REAL *taus, const REAL *dqs, const REAL *externals, REAL *tau_joint, size_t size)
{
    const REAL inverse_speed = p[INVERSE_SPEED], exponent = p[EXPONENT], power_most = p[POWER_MOST];
    const int slips = (p[STRIBECK] != 0) | (p[LOAD_MOTOR_STRIBECK] != 0) | (p[LOAD_EXTERNAL_STRIBECK] != 0)
        | (p[QUAD_MOTOR] != 0) | (p[QUAD_EXTERNAL] != 0);
    const int screws = (p[LOSS_MOTOR] != 0) | (p[LOSS_EXTERNAL] != 0);
    if (!slips) {
        if (screws)
            OF(yield)(p, taus, dqs, externals, 0, tau_joint, size, 0, 1);
        else
            OF(yield)(p, taus, dqs, externals, 0, tau_joint, size, 0, 0);
        return;
    }
    REAL rests[PIECE];
    /* Short loops: in one long loop each lane would wait for the whole chain of its polynomials. */
    if (exponent == 1 || exponent == 2) {
        const int squared = exponent == 2;
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            const REAL x = ABS(OF(finite)(dqs[n])) * inverse_speed;
            rests[n] = squared ? x * x : x;
        }
    } else {
        LANE_LOOP
        for (size_t n = 0; n < size; n++)
            rests[n] = exponent * OF(log2)(ABS(OF(finite)(dqs[n])) * inverse_speed);
        LANE_LOOP
        for (size_t n = 0; n < size; n++)
            rests[n] = OF(exp2)(OF(clamp)(rests[n], -power_most, power_most));
    }
    LANE_LOOP
    for (size_t n = 0; n < size; n++)
        rests[n] = OF(decay)(rests[n], power_most);
    if (screws)
        OF(yield)(p, taus, dqs, externals, rests, tau_joint, size, 1, 1);
    else
        OF(yield)(p, taus, dqs, externals, rests, tau_joint, size, 1, 0);
}

/* The friction of a row's piece by LuGre's bristles. */
INLINE void OF(brush)(const REAL *p, const REAL *taus, const REAL *dqs, REAL *bristles, REAL *tau_joint, size_t size)
{
    const REAL stiffness = p[BRISTLE_STIFFNESS], damping = p[BRISTLE_DAMPING], viscous = p[BRISTLE_VISCOUS];
    const REAL coulomb = p[BRISTLE_COULOMB], stribeck = p[BRISTLE_STRIBECK];
    const REAL inverse_speed = p[BRISTLE_INVERSE_SPEED], power_most = p[POWER_MOST];
    const REAL period = p[PERIOD], rate = p[RATE];
    LANE_LOOP
    for (size_t n = 0; n < size; n++) {
        const REAL dq = OF(finite)(dqs[n]), bristle = bristles[n], x = dq * inverse_speed;
        const REAL slide = coulomb + stribeck * OF(decay)(x * x, power_most);
        const REAL bent = OF(finite)((bristle + period * dq) / (1 + period * (stiffness * ABS(dq) / slide)));
        const REAL friction = stiffness * bent + damping * ((bent - bristle) * rate) + viscous * dq;
        bristles[n] = bent;
        tau_joint[n] = OF(finite)(taus[n] - friction);
    }
}

/* Heat of a row's piece. */
INLINE void OF(warm)(const REAL *p, const REAL *taus, REAL *windings, REAL *cases, size_t size)
{
    const REAL base = p[HEAT_BASE], rise = p[HEAT_RISE], ambient = p[AMBIENT];
    const REAL winding_gain = p[WINDING_GAIN], case_gain = p[CASE_GAIN], ambient_gain = p[AMBIENT_GAIN];
    LANE_LOOP
    for (size_t n = 0; n < size; n++) {
        const REAL tau = taus[n], winding = windings[n], casing = cases[n], flow = winding - casing;
        windings[n] = winding + tau * tau * (base + rise * winding) - winding_gain * flow;
        cases[n] = casing + case_gain * flow - ambient_gain * (casing - ambient);
    }
}

/* Friction and heat of the row `j`, which the law has just written. */
INLINE void OF(act)(const struct context *c, size_t j, size_t begin, size_t size)
{
    const struct physics *x = c->physics;
    const size_t at = j * c->lanes + begin;
    const REAL *taus = (const REAL *)c->tau + at, *dqs = (const REAL *)c->dq + at;
    const REAL *p = (const REAL *)x->parameters + j * PHYSICS_PARAMETERS;
    REAL *tau_joint = (REAL *)x->tau_joint + at;
    if (p[BRISTLE_STIFFNESS] != 0)
        OF(brush)(p, taus, dqs, (REAL *)x->bristle + at, tau_joint, size);
    else
        OF(rub)(p, taus, dqs, (const REAL *)x->tau_external + at, tau_joint, size);
    OF(warm)(p, taus, (REAL *)x->winding + at, (REAL *)x->casing + at, size);
}
