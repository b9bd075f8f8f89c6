/* Numbers of one element type: clamps, masks and powers. Included once per type by kernel.c, which defines REAL,
 * MASK (the unsigned integer as wide as REAL), ALL (its largest value), REAL_MAX, ABS, WIDE (1 for double) and
 * SUFFIX, which `OF` appends to a name.
 *
 * Every conditional in a lane loop is a select of values that are both computed, so that the compiler can
 * turn the loop into vectors; `x > hi ? hi : x` has one meaning for NaN and signed zeros everywhere.
 */

INLINE MASK OF(bits)(REAL x)
{
    MASK bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE REAL OF(real)(MASK bits)
{
    REAL x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Masks are all ones or all zeros. Joined as integers they stay masks: as conditions the compiler would
 * spread them over several selects. */
INLINE REAL OF(keep)(MASK mask, REAL x)
{
    return OF(real)(OF(bits)(x) & mask);
}

INLINE REAL OF(finite)(REAL x)
{
    return OF(keep)(ABS(x) <= REAL_MAX ? ALL : 0, x);
}

INLINE REAL OF(clamp)(REAL x, REAL lower, REAL upper)
{
    x = x > upper ? upper : x;
    return x < lower ? lower : x;
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

/* 2^y for y within +-80, which is left to the caller. */
INLINE REAL OF(exp2)(REAL y)
{
    const REAL magic = (REAL)1.5 * POWER;
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
    p = (REAL)0.0013264727241622913;
    p = p * f + (REAL)0.009671512681042872;
    p = p * f + (REAL)0.05550733743522496;
    p = p * f + (REAL)0.2402224208474383;
    p = p * f + (REAL)0.6931469775987852;
    p = p * f + (REAL)1.0;
#endif
    return OF(real)(OF(bits)(p) + (OF(bits)(rounded) << SHIFT));
}

INLINE REAL OF(log2)(REAL x)
{
    const MASK one = OF(bits)(1), root = OF(bits)((REAL)0.7071067811865476);
    const MASK moved = OF(bits)(x) + (one - root);
    const REAL whole = OF(real)(moved >> SHIFT | OF(bits)(POWER)) - (POWER + BIAS);
    const REAL m = OF(real)((moved & (((MASK)1 << SHIFT) - 1)) + root), s = (m - 1) / (m + 1), square = s * s;
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

#undef SHIFT
#undef BIAS
#undef POWER
