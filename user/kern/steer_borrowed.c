/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_borrowed.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "kern/held_child.h"

#define HELD_MAX 64 /* children that wait for locks of listeners */

struct steer_borrowed {
	int (*set)(const struct steer_borrowed *it);
	const struct steer *steer;
	unsigned int endpoint;
	int fd;
	uint32_t pid; /* of the process that has the listener */
	int result;   /* by the child */
};

static void steer_borrowed_run(void *data)
{
	struct steer_borrowed *it = data;

	it->result = it->set(it);
}

static int steer_borrowed_set(struct steer_borrowed *it, int program)
{
	const struct held_child_call call = {.run = steer_borrowed_run,
	                                     .keep = {it->fd, program},
	                                     .max = HELD_MAX,
	                                     .pid = &it->pid};

	held_child_reap();
	if (it->pid && held_child_waits_for(it->pid))
		return -EAGAIN;
	return held_child_run(&call, it, sizeof(*it)) == HELD_CHILD_DONE ? it->result : -EAGAIN;
}

static int steer_borrowed_set_program(const struct steer_borrowed *it)
{
	return steer_attach(it->steer, it->endpoint, it->fd);
}

int steer_borrowed_attach(const struct steer *steer, unsigned int endpoint, int fd, uint32_t pid)
{
	struct steer_borrowed it = {.set = steer_borrowed_set_program,
	                            .steer = steer,
	                            .endpoint = endpoint,
	                            .fd = fd,
	                            .pid = pid};

	return steer_borrowed_set(&it, steer->endpoints[endpoint].prog_fd);
}

static int steer_borrowed_set_none(const struct steer_borrowed *it)
{
	return steer_detach(it->steer, it->fd);
}

int steer_borrowed_detach(const struct steer *steer, int fd)
{
	struct steer_borrowed it = {.set = steer_borrowed_set_none, .steer = steer, .fd = fd};

	return steer_borrowed_set(&it, -1);
}

static int steer_borrowed_set_reuseport(const struct steer_borrowed *it)
{
	const int on = 1;

	return setsockopt(it->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ? -errno : 0;
}

int steer_borrowed_rejoin(int fd, uint32_t pid)
{
	struct steer_borrowed it = {.set = steer_borrowed_set_reuseport, .fd = fd, .pid = pid};

	return steer_borrowed_set(&it, -1);
}

const char *steer_borrowed_why(int r)
{
	if (r == -EAGAIN)
		return "its process keeps a lock of the kernel, that of the listener; end the "
		       "process";
	if (r == -EPERM)
		return "this is not permitted; its process may have locked it (SO_LOCK_FILTER)";
	return strerror(-r);
}
