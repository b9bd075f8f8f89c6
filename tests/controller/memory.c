/* What locks memory, preloaded before libc: an unlocking that has begun lasts until somebody locks again, or 1.5 s. */
#include <poll.h>

static volatile int locked, locks, unlocks;

int mlockall(int flags)
{
    (void)flags;
    locked = 1;
    __atomic_add_fetch(&locks, 1, __ATOMIC_SEQ_CST);
    return 0;
}

int munlockall(void)
{
    const int before = locks;
    __atomic_add_fetch(&unlocks, 1, __ATOMIC_SEQ_CST);
    for (int tries = 0; tries < 150 && locks == before; tries++)
        poll(0, 0, 10);
    locked = 0;
    return 0;
}

int memory_is_locked(void)
{
    return locked;
}

int memory_unlocks(void)
{
    return unlocks;
}
