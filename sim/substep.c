/* One substep of the drives of many simulated robots: angles and speeds from a simulator's rows, the load observed,
 * the control core stepped, torques back into the rows. Equals sim/drives.py:Drives.step bit for bit; read that file.
 *
 * The control core is another library: its step comes as an address. Needs -ffp-contract=off like it.
 */
#include <stddef.h>
#include <stdint.h>

#ifndef SUBSTEP_DIGEST
#error "SUBSTEP_DIGEST, the digest of the source, must be defined: build with setup.py"
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Mirrors sim/substep.py:_Substep. A row of the simulator is a robot's; one of the core's a joint's. */
struct substep {
    const double *qpos, *qvel;
    double *out;
    const int32_t *q_index, *dq_index;
    double *q, *dq, *dq_before, *load;
    const double *torque, *inertia_rate; /* inertia_rate is null: ideal actuators */
    void (*step)(const void *);
    const void *floor;
    size_t qpos_stride, qvel_stride, out_stride, robots, joints, lanes;
};

EXPORT void palaestra_substep(const struct substep *s)
{
    const size_t joints = s->joints, lanes = s->lanes;
    for (size_t n = 0; n < s->robots; n++) {
        const double *qpos = s->qpos + n * s->qpos_stride, *qvel = s->qvel + n * s->qvel_stride;
        for (size_t j = 0; j < joints; j++) {
            s->q[j * lanes + n] = qpos[s->q_index[j]];
            s->dq[j * lanes + n] = qvel[s->dq_index[j]];
        }
    }
    if (s->inertia_rate)
        for (size_t j = 0; j < joints; j++) {
            const double *dq = s->dq + j * lanes, *torque = s->torque + j * lanes, rate = s->inertia_rate[j];
            double *dq_before = s->dq_before + j * lanes, *load = s->load + j * lanes;
            for (size_t n = 0; n < s->robots; n++) {
                const double inertial = (dq[n] - dq_before[n]) * rate;
                load[n] = inertial - torque[n];
                dq_before[n] = dq[n];
            }
        }
    s->step(s->floor);
    for (size_t n = 0; n < s->robots; n++) {
        double *out = s->out + n * s->out_stride;
        for (size_t j = 0; j < joints; j++)
            out[j] = s->torque[j * lanes + n];
    }
}

EXPORT const char *palaestra_substep_digest(void)
{
    return SUBSTEP_DIGEST;
}

EXPORT size_t palaestra_substep_bytes(void)
{
    return sizeof(struct substep);
}
