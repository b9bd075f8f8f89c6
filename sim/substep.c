/* Simulated drives between a control core and MuJoCo: one substep of all robots, or many substeps of a few worlds at a
 * time inside the threads of MuJoCo's batch. Equals sim/drives.py:Drives.step, and the loop of sim/worlds.py, bit for
 * bit; read those files.
 *
 * The control core and MuJoCo are other libraries: their functions come as addresses, and none of MuJoCo's structures is
 * looked into. Needs -ffp-contract=off like the core.
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
    double *q, *dq, *load;
    const double *torque, *inertia_rate; /* inertia_rate is null: ideal actuators */
    void (*step)(const void *);
    const void *floor;
    size_t qpos_stride, qvel_stride, out_stride, robots, joints, lanes;
};

/* Angles and speeds of the robots `begin` to `end` from the simulator's rows, and the load observed: what `dq` holds
 * before are the speeds of the last substep. */
static void sense(const struct substep *s, size_t begin, size_t end)
{
    const size_t joints = s->joints, lanes = s->lanes;
    if (s->inertia_rate)
        for (size_t j = 0; j < joints; j++) {
            const double *torque = s->torque + j * lanes, rate = s->inertia_rate[j];
            const double *before = s->dq + j * lanes, *qvel = s->qvel + s->dq_index[j];
            double *load = s->load + j * lanes;
            for (size_t n = begin; n < end; n++) {
                const double inertial = (qvel[n * s->qvel_stride] - before[n]) * rate;
                load[n] = inertial - torque[n];
            }
        }
    for (size_t n = begin; n < end; n++) {
        const double *qpos = s->qpos + n * s->qpos_stride, *qvel = s->qvel + n * s->qvel_stride;
        for (size_t j = 0; j < joints; j++) {
            s->q[j * lanes + n] = qpos[s->q_index[j]];
            s->dq[j * lanes + n] = qvel[s->dq_index[j]];
        }
    }
}

/* Their torques into the simulator's rows. */
static void actuate(const struct substep *s, size_t begin, size_t end)
{
    for (size_t n = begin; n < end; n++) {
        double *out = s->out + n * s->out_stride;
        for (size_t j = 0; j < s->joints; j++)
            out[j] = s->torque[j * s->lanes + n];
    }
}

EXPORT void palaestra_substep(const struct substep *s)
{
    sense(s, 0, s->robots);
    s->step(s->floor);
    actuate(s, 0, s->robots);
}

/* Mirrors sim/sites.py:_Sites. Positions of all sites of worlds, as mj_kinematics itself has them. */
struct sites {
    void (*mj_kinematics)(const void *m, void *d);
    void (*mj_local2Global)(void *d, double *position, double *axes, const double *local, const double *turn, int body,
        uint8_t same_frame);
    const double *local, *turn;
    const int32_t *body;
    const uint8_t *same_frame;
    double *positions;
    size_t sites;
};

EXPORT void palaestra_sites(const void *m, void *d, int world, void *argument)
{
    const struct sites *s = argument;
    double *position = s->positions + (size_t)world * s->sites * 3, axes[9];
    s->mj_kinematics(m, d);
    for (size_t i = 0; i < s->sites; i++, position += 3)
        s->mj_local2Global(d, position, axes, s->local + 3 * i, s->turn + 4 * i, s->body[i], s->same_frame[i]);
}

/* Mirrors sim/sites.py:_Visits. Worlds whose states are not those of MuJoCo's simulations, one after the other at each of
 * some desks: rows lie `nstate` apart. */
struct visits {
    const struct sites *sites;
    void (*mj_set_state)(const void *m, void *d, const double *state, int parts);
    const double *state;
    const int32_t *world;
    size_t nstate, count, desks;
    int32_t parts;
};

EXPORT void palaestra_visit(const void *m, void *d, int desk, void *argument)
{
    const struct visits *v = argument;
    for (size_t i = (size_t)desk; i < v->count; i += v->desks) {
        v->mj_set_state(m, d, v->state + (size_t)v->world[i] * v->nstate, v->parts);
        palaestra_sites(m, d, v->world[i], (void *)v->sites);
    }
}

/* Mirrors sim/rollout.py:_Rollout. Rows of worlds lie `nstate` apart, counters of warnings `nwarning`. */
struct rollout {
    const struct substep *drives;
    void (*step_lanes)(const void *floor, size_t begin, size_t size, uint32_t ahead);
    void (*mj_step)(const void *m, void *d);
    void (*mj_set_state)(const void *m, void *d, const double *state, int parts);
    void (*mj_get_state)(const void *m, const void *d, double *state, int parts);
    double *state;
    const double *applied; /* what is not in `state`: forces on dofs and bodies; null where it is */
    int32_t (*warning)[2]; /* what it was last about, how often */
    uint8_t *moving;
    uint8_t *pushed, *strained; /* whether anything is applied: to a world; to what a desk's data hold */
    uint32_t *at, *substep, *world; /* of each desk: the group it has in hand, and where in it */
    const struct sites *sites; /* null: nobody asks where sites are */
    double most;
    size_t nstate, napplied, nwarning, nq, nv, qpos, qvel, qacc; /* the last three: where they are in a row */
    size_t bad_qpos, bad_qvel, bad_qacc, group, spread, desks, substeps;
    int32_t parts, moved_parts, applied_parts; /* of a row; those at its begin that a step changes */
};

/* Count a warning if a number is none, or beyond `most`: what mj_step does where it does not reset by itself. */
static void look(const double *values, size_t count, double most, int32_t *warning)
{
    int good = 1;
    for (size_t i = 0; i < count; i++)
        good &= __builtin_fabs(values[i]) <= most;
    if (good)
        return;
    for (size_t i = 0; i < count; i++)
        if (!(__builtin_fabs(values[i]) <= most)) {
            warning[0] = (int32_t)i;
            warning[1]++;
            return;
        }
}

static uint8_t any(const double *values, size_t count)
{
    int found = 0;
    for (size_t i = 0; i < count; i++)
        found |= values[i] != 0;
    return (uint8_t)found;
}

/* All substeps of every group of a desk: of each `desks`th from its own on. What mjb_apply runs on one of its threads
 * for a simulation of the batch, `spread` of which are a desk; `m` is that simulation's model. Where MuJoCo raises an
 * error this never returns: called again, it goes on after that world. */
EXPORT void palaestra_rollout(const void *m, void *d, int simulation, void *argument)
{
    const struct rollout *r = argument;
    const size_t robots = r->drives->robots, desk = (size_t)simulation / r->spread;
    uint32_t *at = r->at + desk, *substep = r->substep + desk, *world = r->world + desk;
    for (; *at * r->group < robots; *at += (uint32_t)r->desks, *substep = 0) {
        const size_t begin = *at * r->group, end = begin + r->group < robots ? begin + r->group : robots;
        for (; *substep < r->substeps; ++*substep, *world = 0) {
            const int last = *substep + 1 == r->substeps;
            if (*world == 0) {
                sense(r->drives, begin, end);
                r->step_lanes(r->drives->floor, begin, end - begin, *substep);
                actuate(r->drives, begin, end);
            }
            while (begin + *world < end) {
                /* Counted before, so that an error leads past it. */
                const size_t n = begin + (*world)++;
                if (!r->moving[n])
                    continue;
                double *row = r->state + n * r->nstate;
                int32_t(*warning)[2] = r->warning + n * r->nwarning;
                look(row + r->qpos, r->nq, r->most, warning[r->bad_qpos]);
                look(row + r->qvel, r->nv, r->most, warning[r->bad_qvel]);
                r->mj_set_state(m, d, row, r->parts);
                if (r->applied) {
                    const double *applied = r->applied + n * r->napplied;
                    if (*substep == 0)
                        r->pushed[n] = any(applied, r->napplied);
                    /* Forces are rare, and a step leaves them as they are. */
                    if (r->pushed[n] || r->strained[desk]) {
                        r->mj_set_state(m, d, applied, r->applied_parts);
                        r->strained[desk] = r->pushed[n];
                    }
                }
                r->mj_step(m, d);
                r->mj_get_state(m, d, row, r->moved_parts);
                /* The warm start of the next step is this step's acceleration. */
                look(row + r->qacc, r->nv, r->most, warning[r->bad_qacc]);
                /* After the state is saved: kinematics may normalise it. */
                if (last && r->sites)
                    palaestra_sites(m, d, (int)n, (void *)r->sites);
            }
        }
    }
}

/* Mirrors sim/engine.py:_Rays. Rays of the simulation `s` begin at row `rank[s]`. */
struct rays {
    void (*mj_kinematics)(const void *m, void *d);
    void (*mj_flex)(const void *m, void *d);
    double (*mj_ray)(const void *m, const void *d, const double *point, const double *direction, const uint8_t *groups,
        uint8_t statics, int exclude, int *geom, double *normal);
    const double *points, *directions;
    const uint8_t *groups;
    const int32_t *exclude, *rank;
    double *distances, *normals; /* normals may be null */
    int32_t *geoms;
    size_t rays;
    uint8_t statics;
};

EXPORT void palaestra_rays(const void *m, void *d, int simulation, void *argument)
{
    const struct rays *r = argument;
    const size_t begin = (size_t)r->rank[simulation] * r->rays;
    r->mj_kinematics(m, d);
    r->mj_flex(m, d);
    for (size_t i = begin; i < begin + r->rays; i++) {
        int geom = -1;
        r->distances[i] = r->mj_ray(m, d, r->points + 3 * i, r->directions + 3 * i, r->groups, r->statics,
            r->exclude[i], &geom, r->normals ? r->normals + 3 * i : 0);
        r->geoms[i] = geom;
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

EXPORT size_t palaestra_rollout_bytes(void)
{
    return sizeof(struct rollout);
}

EXPORT size_t palaestra_rays_bytes(void)
{
    return sizeof(struct rays);
}

EXPORT size_t palaestra_visits_bytes(void)
{
    return sizeof(struct visits);
}

EXPORT size_t palaestra_sites_bytes(void)
{
    return sizeof(struct sites);
}
