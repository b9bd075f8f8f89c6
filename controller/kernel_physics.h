/* The physics of actuators for one element type: equals controller/physics.py bit for bit; read that file.
 * Included once per type by kernel.c, before kernel_step.h.
 */

INLINE MASK BITS_OF(REAL x)
{
    MASK bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE REAL REAL_OF(MASK bits)
{
    REAL x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* WIDE is a number, so that one branch per type is seen by the preprocessor. */
#if WIDE
#define SHIFT 52
#define BIAS 1023
#else
#define SHIFT 23
#define BIAS 127
#endif
#define POWER ((REAL)((uint64_t)1 << SHIFT))

INLINE REAL EXP2(REAL y)
{
    const REAL magic = (REAL)1.5 * POWER;
    y = y > 80 ? 80 : y;
    y = y < -80 ? -80 : y;
    const REAL rounded = y + magic, f = y - (rounded - magic);
    REAL p;
#if WIDE
    p = (REAL)4.44553827187081e-10;
    p = p * f + (REAL)7.054911620801121e-09;
    p = p * f + (REAL)1.0178086009239696e-07;
    p = p * f + (REAL)1.3215486790144305e-06;
    p = p * f + (REAL)1.5252733804059838e-05;
    p = p * f + (REAL)0.00015403530393381606;
    p = p * f + (REAL)0.0013333558146428441;
    p = p * f + (REAL)0.009618129107628477;
    p = p * f + (REAL)0.055504108664821576;
    p = p * f + (REAL)0.2402265069591007;
    p = p * f + (REAL)0.6931471805599453;
    p = p * f + (REAL)1.0;
#else
    p = (REAL)0.00015403530393381606;
    p = p * f + (REAL)0.0013333558146428441;
    p = p * f + (REAL)0.009618129107628477;
    p = p * f + (REAL)0.055504108664821576;
    p = p * f + (REAL)0.2402265069591007;
    p = p * f + (REAL)0.6931471805599453;
    p = p * f + (REAL)1.0;
#endif
    return REAL_OF(BITS_OF(p) + (BITS_OF(rounded) << SHIFT));
}

INLINE REAL LOG2(REAL x)
{
    const MASK one = BITS_OF(1), root = BITS_OF((REAL)0.7071067811865476);
    const MASK moved = BITS_OF(x) + (one - root);
    const REAL whole = REAL_OF(moved >> SHIFT | BITS_OF(POWER)) - (POWER + BIAS);
    const REAL m = REAL_OF((moved & (((MASK)1 << SHIFT) - 1)) + root), s = (m - 1) / (m + 1), square = s * s;
    REAL p;
#if WIDE
    p = (REAL)0.16972882833987804;
    p = p * square + (REAL)0.19235933878519512;
    p = p * square + (REAL)0.22195308321368667;
    p = p * square + (REAL)0.2623081892525388;
    p = p * square + (REAL)0.3205988979753252;
    p = p * square + (REAL)0.4121985831111324;
    p = p * square + (REAL)0.5770780163555853;
    p = p * square + (REAL)0.9617966939259756;
    p = p * square + (REAL)2.8853900817779268;
#else
    p = (REAL)0.4121985831111324;
    p = p * square + (REAL)0.5770780163555853;
    p = p * square + (REAL)0.9617966939259756;
    p = p * square + (REAL)2.8853900817779268;
#endif
    return whole + s * p;
}

/* Store the commands in force in this tick's slot; the law then reads the oldest slot. A unit that does not run
 * loses the gains and torques of all slots. */
INLINE void DELAY(const struct context *c, size_t begin, size_t size, const MASK *run, int all_run)
{
    const struct physics *x = c->physics;
    const REAL *held[5] = {c->held_q_ref, c->held_dq_ref, c->held_tau_ff, c->held_kp, c->held_kd};
    for (size_t k = 0; k < 5; k++)
        for (size_t j = 0; j < c->joints; j++) {
            const size_t at = j * c->lanes + begin;
            memcpy((REAL *)x->ring + (*x->cursor * 5 + k) * c->joints * c->lanes + at, held[k] + at,
                size * sizeof(REAL));
        }
    for (size_t slot = 0; !all_run && slot < x->slots; slot++)
        for (size_t row = 2 * c->joints; row < 5 * c->joints; row++) {
            REAL *kept = (REAL *)x->ring + (slot * 5 * c->joints + row) * c->lanes + begin;
            LANE_LOOP
            for (size_t n = 0; n < size; n++)
                kept[n] = REAL_OF(BITS_OF(kept[n]) & run[n]);
        }
}

/* Friction and heat. */
INLINE void RUB(const struct context *c, size_t begin, size_t size)
{
    const struct physics *x = c->physics;
    for (size_t j = 0; j < c->joints; j++) {
        const size_t at = j * c->lanes + begin;
        const REAL *taus = (const REAL *)c->tau + at, *dqs = (const REAL *)c->dq + at;
        const REAL *externals = (const REAL *)x->tau_external + at;
        REAL *tau_joint = (REAL *)x->tau_joint + at;
        REAL *windings = (REAL *)x->winding + at, *cases = (REAL *)x->casing + at;
        const REAL *p = (const REAL *)x->parameters + j * PHYSICS_PARAMETERS;
        const REAL viscous = p[VISCOUS], coulomb = p[COULOMB], stribeck = p[STRIBECK];
        const REAL inverse_speed = p[INVERSE_SPEED], exponent = p[EXPONENT], inertia_rate = p[INERTIA_RATE];
        const REAL load_m = p[LOAD_MOTOR], load_e = p[LOAD_EXTERNAL];
        const REAL rest_m = p[LOAD_MOTOR_STRIBECK], rest_e = p[LOAD_EXTERNAL_STRIBECK];
        const REAL quad_m = p[QUAD_MOTOR], quad_e = p[QUAD_EXTERNAL];
        const REAL heat = p[HEAT], copper = p[COPPER], ambient = p[AMBIENT];
        const REAL winding_gain = p[WINDING_GAIN], case_gain = p[CASE_GAIN], ambient_gain = p[AMBIENT_GAIN];
        /* Short loops: in one long loop each lane would wait for the whole chain of its polynomials. */
        REAL rests[TILE];
        const int slips = (stribeck != 0) | (rest_m != 0) | (rest_e != 0) | (quad_m != 0) | (quad_e != 0);
        if (slips) {
            LANE_LOOP
            for (size_t n = 0; n < size; n++) {
                const REAL dq = REAL_OF(BITS_OF(dqs[n]) & (ABS(dqs[n]) <= REAL_MAX ? ALL : 0));
                rests[n] = exponent * LOG2(ABS(dq) * inverse_speed);
            }
            LANE_LOOP
            for (size_t n = 0; n < size; n++)
                rests[n] = (REAL)-1.4426950408889634 * EXP2(rests[n]);
            LANE_LOOP
            for (size_t n = 0; n < size; n++)
                rests[n] = EXP2(rests[n]);
        } else {
            for (size_t n = 0; n < size; n++)
                rests[n] = 0;
        }
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            const REAL tau = taus[n];
            const REAL dq = REAL_OF(BITS_OF(dqs[n]) & (ABS(dqs[n]) <= REAL_MAX ? ALL : 0));
            const REAL external = REAL_OF(BITS_OF(externals[n]) & (ABS(externals[n]) <= REAL_MAX ? ALL : 0));
            const REAL speed = ABS(dq), rest = rests[n];
            const REAL load = ABS(load_m * tau - load_e * external);
            const REAL load_rest = ABS(rest_m * tau - rest_e * external);
            const MASK opposed = ((tau > 0 ? ALL : 0) & (external < 0 ? ALL : 0))
                | ((tau < 0 ? ALL : 0) & (external > 0 ? ALL : 0));
            const MASK driven = opposed & (ABS(tau) > ABS(external) ? ALL : 0);
            const MASK driving = opposed & (ABS(tau) < ABS(external) ? ALL : 0);
            const REAL quad = REAL_OF(BITS_OF(quad_e * external * external) & driven)
                + REAL_OF(BITS_OF(quad_m * tau * tau) & driving);
            const REAL always = viscous * speed + coulomb + load;
            const REAL budget = always + rest * (stribeck + load_rest + quad);
            REAL stopping = inertia_rate * dq + tau + external;
            stopping = stopping > budget ? budget : stopping;
            stopping = stopping < -budget ? -budget : stopping;
            const REAL joint = tau - stopping;
            tau_joint[n] = REAL_OF(BITS_OF(joint) & (ABS(joint) <= REAL_MAX ? ALL : 0));
        }
        LANE_LOOP
        for (size_t n = 0; n < size; n++) {
            const REAL tau = taus[n], winding = windings[n], casing = cases[n];
            const REAL losses = heat * tau * tau * (1 + copper * (winding - ambient));
            const REAL flow = winding - casing;
            windings[n] = winding + losses - winding_gain * flow;
            cases[n] = casing + case_gain * flow - ambient_gain * (casing - ambient);
        }
    }
}

#undef SHIFT
#undef BIAS
#undef POWER
