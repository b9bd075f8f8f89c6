/* The plain loop that environments are measured against: every world through given torques with mj_step, and where
 * something else than physics has touched its state - a new episode, a push - from the state that it then had.
 * World by world, so that a world's data stay in the caches: nothing that steps MuJoCo can be much faster. */
#include <mujoco/mujoco.h>
#include <stdint.h>
#include <string.h>

/* For worlds begin..end of `worlds`: torques are (steps * substeps, worlds, nu); at the start of each of `steps` steps
 * `touched` (steps, worlds) names the row of `rows` (any, mjSTATE_INTEGRATION) to go on from, or -1; states
 * (worlds, mjSTATE_INTEGRATION) are what comes out. */
void raw_episodes(const mjModel *m, mjData *d, double *states, const double *torques, const int32_t *touched,
    const double *rows, int begin, int end, int worlds, int steps, int substeps)
{
    const int size = mj_stateSize(m, mjSTATE_INTEGRATION);
    for (int world = begin; world < end; world++) {
        for (int k = 0; k < steps; k++) {
            const int32_t row = touched[(size_t)k * worlds + world];
            if (row >= 0)
                mj_setState(m, d, rows + (size_t)row * size, mjSTATE_INTEGRATION);
            for (int s = 0; s < substeps; s++) {
                const size_t at = ((size_t)k * substeps + s) * worlds + world;
                memcpy(d->ctrl, torques + at * m->nu, m->nu * sizeof(double));
                mj_step(m, d);
            }
        }
        mj_getState(m, d, states + (size_t)world * size, mjSTATE_INTEGRATION);
    }
}
