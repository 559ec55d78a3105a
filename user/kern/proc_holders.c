/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/proc_holders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/held_child.h"
#include "kern/proc_scan.h"

/* How many children may wait for locks that processes keep. */
#define HELD_MAX 256

struct search {
	const struct proc_scan_request *request;
	int file; /* for the rows */
	/* By the child: */
	uint32_t pid;
	int result;
};

static int proc_holders_write(int file, const void *data, size_t size)
{
	const char *at = data, *end = at + size;

	while (at < end) {
		const ssize_t n = write(file, at, (size_t)(end - at));

		if (n < 0)
			return -errno;
		at += n;
	}
	return 0;
}

static void proc_holders_run(void *data)
{
	struct search *search = data;
	_cleanup_free_ struct holder *rows = NULL;
	size_t n = 0;

	search->result = proc_scan(search->request, &search->pid, &rows, &n);
	if (search->result == 0)
		search->result = proc_holders_write(search->file, rows, n * sizeof(*rows));
}

static int proc_holders_read(int file, struct holder **ret, size_t *ret_n)
{
	_cleanup_free_ struct holder *rows = NULL;
	struct stat st;

	if (fstat(file, &st) < 0)
		return -errno;
	if (st.st_size) {
		rows = malloc((size_t)st.st_size);
		if (!rows)
			return -ENOMEM;
		if (pread(file, rows, (size_t)st.st_size, 0) != st.st_size)
			return -EIO;
	}
	*ret_n = (size_t)st.st_size / sizeof(*rows);
	*ret = TAKE_PTR(rows);
	return 0;
}

static int proc_holders_explain_stuck(uint32_t pid, struct error *err)
{
	return error_set(err, -EBUSY,
	                 "process %u can't be examined: it keeps a lock of the kernel; end it",
	                 pid);
}

static enum held_child_result proc_holders_try(const struct proc_scan_request *request,
                                               uint32_t *ret_pid, int *ret_result,
                                               struct holder **ret, size_t *ret_n)
{
	_cleanup_close_ int file = memfd_create("holders", MFD_CLOEXEC);
	struct search search = {.request = request, .file = file};
	const struct held_child_call call = {.run = proc_holders_run,
	                                     .keep = {file, -1},
	                                     .max = HELD_MAX,
	                                     .pid = &search.pid,
	                                     .is_long = !request->bounded};
	enum held_child_result result;

	if (file < 0)
		return HELD_CHILD_REFUSED;
	result = held_child_run(&call, &search, sizeof(search));
	*ret_pid = search.pid;
	*ret_result = search.result;
	if (result == HELD_CHILD_DONE && search.result == 0)
		*ret_result = proc_holders_read(file, ret, ret_n);
	return result;
}

/* Passes over some processes that keep us waiting, but not over those of a worker: it could have
 * any number of them. */
static int proc_holders_search(struct proc_scan_request *request, struct holder **ret,
                               size_t *ret_n, struct error *err)
{
	enum held_child_result result;
	uint32_t pid;
	int r;

	*ret = NULL;
	*ret_n = 0;
	if (!request->n_listeners || (request->pids && !request->n_pids))
		return 0;
	held_child_reap();
	for (size_t i = 0; i < request->n_pids; i++)
		if (held_child_waits_for(request->pids[i]))
			return proc_holders_explain_stuck(request->pids[i], err);
	for (;;) {
		result = proc_holders_try(request, &pid, &r, ret, ret_n);
		if (result != HELD_CHILD_STUCK || !pid) /* 0: it has come to no process yet */
			break;
		if (request->pids || request->n_skipped == ARRAY_SIZE(request->skipped))
			return proc_holders_explain_stuck(pid, err);
		request->skipped[request->n_skipped++] = pid;
	}
	if (result == HELD_CHILD_STUCK)
		return error_set(err, -EAGAIN,
		                 "can't find the listeners' processes: a child that reads /proc "
		                 "for it does not go on");
	if (result == HELD_CHILD_REFUSED)
		return error_set(err, -EAGAIN,
		                 "can't find the listeners' processes: no child can be started "
		                 "for it, or earlier ones wait for locks that processes keep");
	if (r < 0)
		return error_set(err, r, "can't find the listeners' processes in /proc: %s",
		                 strerror(-r));
	return 0;
}

int proc_holders_find(const struct listener *listeners, size_t n, struct holder **ret,
                      size_t *ret_n, struct error *err)
{
	struct proc_scan_request request = {
	        .listeners = listeners, .n_listeners = n, .self = (uint32_t)getpid()};

	return proc_holders_search(&request, ret, ret_n, err);
}

int proc_holders_find_soon(const struct listener *listeners, size_t n, struct holder **ret,
                           size_t *ret_n, struct error *err)
{
	struct proc_scan_request request = {.listeners = listeners,
	                                    .n_listeners = n,
	                                    .self = (uint32_t)getpid(),
	                                    .bounded = true};

	return proc_holders_search(&request, ret, ret_n, err);
}

int proc_holders_find_among(const uint32_t *pids, size_t n_pids, const struct listener *listeners,
                            size_t n, struct holder **ret, size_t *ret_n, struct error *err)
{
	static const uint32_t none = 0;
	struct proc_scan_request request = {.listeners = listeners,
	                                    .n_listeners = n,
	                                    .pids = n_pids ? pids : &none,
	                                    .n_pids = n_pids,
	                                    .bounded = true};

	return proc_holders_search(&request, ret, ret_n, err);
}
