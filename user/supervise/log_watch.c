/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/log_watch.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/proc.h"
#include "stream/log_message.h"

/* How many checks in a row find the log process in the same read. */
#define LOG_WATCH_PATIENCE 5

int log_watch_fd(struct supervisor *sup)
{
	struct log_watch *it = &sup->log_watch;
	_cleanup_close_ int fd = -1;
	void *memory;

	if (it->memory)
		return it->fd;
	fd = memfd_create("log-watch", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, sizeof(*it->memory)) < 0)
		return -1;
	memory = mmap(NULL, sizeof(*it->memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -1;
	it->memory = memory;
	it->fd = TAKE_FD(fd);
	return it->fd;
}

void log_watch_begin(struct supervisor *sup, uint32_t pid)
{
	struct log_watch *it = &sup->log_watch;

	it->pid = pid;
	it->same = 0;
}

uint32_t log_watch_check(struct supervisor *sup)
{
	struct log_watch *it = &sup->log_watch;
	uint32_t turn, number;

	if (!it->memory)
		return 0;
	turn = __atomic_load_n(&it->memory->turn, __ATOMIC_ACQUIRE);
	if (turn != it->turn || turn % 2 == 0 || !proc_is_blocked(it->pid)) {
		it->turn = turn;
		it->same = 0;
		return 0;
	}
	if (++it->same < LOG_WATCH_PATIENCE)
		return 0;
	it->same = 0;
	/* It may be at the next worker by now: that one is none that must end. */
	number = __atomic_load_n(&it->memory->number, __ATOMIC_ACQUIRE);
	return __atomic_load_n(&it->memory->turn, __ATOMIC_ACQUIRE) == turn ? number : 0;
}

void log_watch_close(struct supervisor *sup)
{
	struct log_watch *it = &sup->log_watch;

	if (!it->memory)
		return;
	munmap(it->memory, sizeof(*it->memory));
	close(it->fd);
	it->memory = NULL;
}
