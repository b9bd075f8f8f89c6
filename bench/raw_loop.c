/* The plain loop that sim slots are measured against: every world from its start through given torques with mj_step.
 * World by world, so that a world's data stay in the caches: nothing that steps MuJoCo can be much faster. */
#include <mujoco/mujoco.h>
#include <string.h>

/* For worlds begin..end of `worlds`: torques are (steps, worlds, nu), states (worlds, mjSTATE_INTEGRATION), both ways. */
void raw_loop(const mjModel *m, mjData *d, double *states, const double *torques, int begin, int end, int worlds,
    int steps)
{
    const int size = mj_stateSize(m, mjSTATE_INTEGRATION);
    for (int world = begin; world < end; world++) {
        mj_setState(m, d, states + (size_t)world * size, mjSTATE_INTEGRATION);
        for (int k = 0; k < steps; k++) {
            memcpy(d->ctrl, torques + ((size_t)k * worlds + world) * m->nu, m->nu * sizeof(double));
            mj_step(m, d);
        }
        mj_getState(m, d, states + (size_t)world * size, mjSTATE_INTEGRATION);
    }
}
