/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/proc_holders.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "kern/held_child.h"
#include "kern/held_rows.h"
#include "kern/holder_iterator.h"
#include "kern/proc_scan.h"

/* How many children may wait for locks that processes keep. */
#define HELD_MAX 256

struct search {
	struct held_rows rows;
	const struct proc_scan_request *request;
	uint32_t pid; /* by the child */
};

static void proc_holders_run(void *data)
{
	struct search *search = data;
	_cleanup_free_ struct holder *rows = NULL;
	size_t n = 0;

	search->rows.result = proc_scan(search->request, &search->pid, &rows, &n);
	if (search->rows.result == 0)
		search->rows.result = held_rows_write(search->rows.file, rows, n * sizeof(*rows));
}

static int proc_holders_explain_stuck(uint32_t pid, struct error *err)
{
	return error_set(err, -EBUSY,
	                 "process %u can't be examined: it keeps a lock of the kernel; end it",
	                 pid);
}

/* @iterator: the link of the iterator, or a negative number. */
static enum held_child_result proc_holders_try(struct proc_scan_request *request, int iterator,
                                               uint32_t *ret_pid, int *ret_result,
                                               struct holder **ret, size_t *ret_n)
{
	_cleanup_close_ int shown = iterator < 0 ? -1 : bpf_iter_create(iterator);
	struct search search = {.request = request};
	struct held_child_call call = {.run = proc_holders_run,
	                               .keep = {shown, -1},
	                               .max = HELD_MAX,
	                               .pid = &search.pid,
	                               .is_long = !request->bounded};
	enum held_child_result result;

	request->iterator = shown;
	result = held_rows_run(&call, &search.rows, sizeof(search), sizeof(**ret), ret, ret_n);
	*ret_pid = search.pid;
	*ret_result = search.rows.result;
	return result;
}

/* Passes over some processes that keep us waiting, but not over those of a worker: it could have
 * any number of them. */
static int proc_holders_search(struct proc_scan_request *request, struct holder **ret,
                               size_t *ret_n, struct error *err)
{
	_cleanup_close_ int iterator = -1;
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
	if (!request->bounded) /* an event loop does not wait until it is loaded */
		iterator = holder_iterator_open(request->listeners, request->n_listeners);
	for (;;) {
		result = proc_holders_try(request, iterator, &pid, &r, ret, ret_n);
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
