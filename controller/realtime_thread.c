/* The loop's thread: what it asks the system for, how it begins and ends. */
#define _GNU_SOURCE
#include "realtime_loop.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

/* Process-wide, hence counted: the last loop that locked memory unlocks it. The count and what follows from it are one
   step, or the end of one loop would undo what another one was granted meanwhile. Neither is in a tick. */
static pthread_mutex_t locking = PTHREAD_MUTEX_INITIALIZER;
static int lockers;

static void grant(struct loop *l, int which, int error)
{
    atomic_store_explicit(&l->grants[which], error, memory_order_relaxed);
}

/* More than a tile of the kernel takes. */
#define STACK_TOUCHED_B (192 * 1024)

/* Touched once, so that no tick waits for the first page fault of its stack. */
static void touch_stack(void)
{
    volatile unsigned char stack[STACK_TOUCHED_B];
    for (size_t i = 0; i < sizeof stack; i += 1024)
        stack[i] = 0;
}

static int lock_memory(void)
{
    int error = 0;
    pthread_mutex_lock(&locking);
    if (!lockers) {
#if defined(MCL_ONFAULT)
        /* Pages that are in use stay in memory; those that nobody has touched are not fetched for it. */
        const int refused = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
#else
        const int refused = mlockall(MCL_CURRENT | MCL_FUTURE);
#endif
        error = refused ? errno : 0;
    }
    if (!error)
        lockers++;
    pthread_mutex_unlock(&locking);
    return error;
}

static void unlock_memory(void)
{
    pthread_mutex_lock(&locking);
    if (!--lockers)
        munlockall();
    pthread_mutex_unlock(&locking);
}

static void prepare(struct loop *l)
{
#if defined(__linux__)
    grant(l, SLACK_GRANT, prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) ? errno : 0);
    pthread_setname_np(pthread_self(), "palaestra-loop");
    if (l->s.cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(l->s.cpu, &cpus);
        grant(l, AFFINITY_GRANT, pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus));
    }
#endif
    if (l->s.priority > 0) {
        const struct sched_param parameters = {.sched_priority = l->s.priority};
        grant(l, SCHED_FIFO_GRANT, pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters));
    }
    if (l->s.lock_memory)
        grant(l, LOCK_GRANT, lock_memory());
    touch_stack();
}

static void *thread_main(void *argument)
{
    struct loop *l = argument;
    prepare(l);
    atomic_store_explicit(&l->started, 1, memory_order_release);
    palaestra_loop_run(l, -1);
    palaestra_loop_end(l);
    if (l->s.lock_memory && !atomic_load(&l->grants[LOCK_GRANT]))
        unlock_memory();
    atomic_store_explicit(&l->finished, 1, memory_order_release);
    return 0;
}

/* Returns 0 or an errno. */
EXPORT int32_t palaestra_loop_start(struct loop *l)
{
    sigset_t all, before;
    sigfillset(&all);
    /* Signals are for the threads that know what to do with them. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&l->thread, 0, thread_main, l);
    pthread_sigmask(SIG_SETMASK, &before, 0);
    return error;
}

EXPORT void palaestra_loop_stop(struct loop *l)
{
    atomic_store_explicit(&l->stop, 1, memory_order_release);
}

EXPORT int32_t palaestra_loop_started(struct loop *l)
{
    return atomic_load_explicit(&l->started, memory_order_acquire);
}

EXPORT int32_t palaestra_loop_finished(struct loop *l)
{
    return atomic_load_explicit(&l->finished, memory_order_acquire);
}

/* Only after `finished`. */
EXPORT int32_t palaestra_loop_join(struct loop *l)
{
    return pthread_join(l->thread, 0);
}

EXPORT int32_t palaestra_loop_grant(struct loop *l, uint32_t which)
{
    return atomic_load_explicit(&l->grants[which], memory_order_relaxed);
}

