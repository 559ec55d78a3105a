/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Facts about the kernel's dumps of TCP sockets (inet_diag_dump_icsk(), netlink_dump()):
 *   - AF_UNSPEC has no handler, so each family is requested separately. The kernel compares the
 *     port of the request. All else needs a filter program (INET_DIAG_REQ_BYTECODE).
 *   - A datagram is filled under the lock of the hash bucket, which all members of a reuseport
 *     group share. Between two datagrams the kernel keeps its position as a number of sockets to
 *     skip: if a socket closes in between, a live one is skipped; if one starts, another comes
 *     twice. The kernel doesn't report that (6.18 never sets NLM_F_DUMP_INTR here). So a dump of
 *     more than one datagram is repeated, and the results are merged.
 *   - Datagrams are as large as the largest buffer that the netlink socket was read with, up to
 *     32 KiB: about 250 listeners. Only the first datagrams on a new socket are small.
 */
#include "kern/sockdiag_dump.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "core/kernel_bugs.h"
#include "kern/held_rows.h"

#define DATAGRAM_MAX (64 * 1024)
#define DUMP_PASSES  2
#define HELD_MAX     16 /* children that wait for locks of sockets */

/* What a filter program needs: a condition on the cgroup, and two operations for the port. */
#define FILTER_MAX (3 * sizeof(struct inet_diag_bc_op) + sizeof(uint64_t))

/* A dump in progress, with the rows so far. */
struct dump {
	struct sockdiag_rows rows;
	int fd;
	char *buffer; /* of DATAGRAM_MAX bytes */
};

static void sockdiag_dump_deinit(struct dump *d)
{
	cleanup_close(&d->fd);
	free(d->buffer);
	free(d->rows.at);
}

static ssize_t sockdiag_dump_receive(struct dump *d)
{
	ssize_t length;

	do { /* MSG_TRUNC: the true length, even if it does not fit */
		length = recv(d->fd, d->buffer, DATAGRAM_MAX, MSG_TRUNC);
	} while (length < 0 && errno == EINTR);
	if (length < 0)
		return -errno;
	return length > DATAGRAM_MAX ? -EMSGSIZE : length;
}

/* Sends @request and reads the answer. */
static int sockdiag_dump_ask(struct dump *d, const struct nlmsghdr *request)
{
	ssize_t length;
	int r;

	d->rows.disturbed = false;
	if (send(d->fd, request, request->nlmsg_len, 0) < 0)
		return -errno;

	for (int datagrams = 1;; datagrams++) {
		length = sockdiag_dump_receive(d);
		if (length < 0)
			return (int)length;
		r = sockdiag_rows_read(&d->rows, d->buffer, (size_t)length);
		if (r)
			return r < 0 ? r : 0;
		if (datagrams > 1)
			d->rows.disturbed = true;
	}
}

struct dump_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
	struct nlattr filter_header;
	char filter[FILTER_MAX];
};

/*
 * Adds a filter program. A socket is listed if the program ends exactly at its end, and not if it
 * jumps beyond it. The kernel only accepts a program if its `yes` branches lead to the end.
 */
static void sockdiag_dump_add_filter(struct dump_request *request,
                                     const struct sockdiag_filter *filter)
{
	const unsigned int op = sizeof(struct inet_diag_bc_op);
	const unsigned int first = filter->cgroup ? op + sizeof(filter->cgroup) : 0;
	const unsigned int length = first + (filter->fixed ? 2 * op : 0);
	const struct inet_diag_bc_op cgroup = {
	        .code = INET_DIAG_BC_CGROUP_COND,
	        .yes = first,
	        .no = length + op,
	};
	/* If the kernel has chosen the port, jumps beyond the end; otherwise to the end. */
	const struct inet_diag_bc_op fixed[] = {
	        {.code = INET_DIAG_BC_AUTO, .yes = op, .no = 2 * op},
	        {.code = INET_DIAG_BC_JMP, .yes = op, .no = 2 * op},
	};

	if (!length)
		return;
	if (filter->cgroup) {
		memcpy(request->filter, &cgroup, op);
		memcpy(request->filter + op, &filter->cgroup, sizeof(filter->cgroup));
	}
	if (filter->fixed)
		memcpy(request->filter + first, fixed, sizeof(fixed));
	request->filter_header = (struct nlattr){
	        .nla_len = sizeof(request->filter_header) + length,
	        .nla_type = INET_DIAG_REQ_BYTECODE,
	};
	request->header.nlmsg_len += request->filter_header.nla_len;
}

static int sockdiag_dump_family(struct dump *d, uint8_t family,
                                const struct sockdiag_filter *filter)
{
	struct dump_request request = {
	        .header.nlmsg_len = offsetof(struct dump_request, filter_header),
	        .header.nlmsg_type = SOCK_DIAG_BY_FAMILY,
	        .header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
	        .body.sdiag_family = family,
	        .body.sdiag_protocol = IPPROTO_TCP,
	        .body.idiag_states = d->rows.kind->states,
	        .body.idiag_ext = d->rows.kind->extensions,
	        .body.id.idiag_sport = htons(filter->port),
	};
	int r;

	sockdiag_dump_add_filter(&request, filter);
	for (int pass = 0; pass < DUMP_PASSES; pass++) {
		r = sockdiag_dump_ask(d, &request.header);
		if (r < 0 || !d->rows.disturbed)
			break;
	}
	return r;
}

static int sockdiag_dump_both_families(struct dump *d, const struct sockdiag_filter *filter)
{
	int r;

	d->buffer = malloc(DATAGRAM_MAX);
	if (!d->buffer)
		return -ENOMEM;
	d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (d->fd < 0)
		return -errno;

	r = sockdiag_dump_family(d, AF_INET, filter);
	if (r == 0)
		r = sockdiag_dump_family(d, AF_INET6, filter);
	return r;
}

struct dump_task {
	struct held_rows rows;
	const struct sockdiag_kind *kind;
	const struct sockdiag_filter *filter;
};

static int sockdiag_dump_make(const struct dump_task *task, struct dump *d)
{
	const size_t max = task->filter->max;
	int r;

	*d = (struct dump){.rows.kind = task->kind, .rows.max = DUMP_PASSES * max, .fd = -1};
	r = sockdiag_dump_both_families(d, task->filter);
	if (r < 0)
		return r;
	sockdiag_rows_merge(&d->rows);
	return max && d->rows.n > max ? -E2BIG : 0;
}

static void sockdiag_dump_run(void *data)
{
	struct dump_task *task = data;
	_cleanup_(sockdiag_dump_deinit) struct dump d;
	int r = sockdiag_dump_make(task, &d);

	if (r == 0)
		r = held_rows_write(task->rows.file, d.rows.at, d.rows.n * task->kind->row_size);
	task->rows.result = r;
}

bool sockdiag_dump_is_serial(void)
{
	struct utsname name;

	return uname(&name) == 0 && kernel_bugs_has_serial_dumps(name.release);
}

int sockdiag_dump_sockets(const struct sockdiag_kind *kind, const struct sockdiag_filter *filter,
                          void *ret, size_t *ret_n, struct error *err)
{
	_cleanup_(sockdiag_dump_deinit) struct dump d = {.fd = -1};
	struct dump_task task = {.kind = kind, .filter = filter};
	struct held_child_call call = {.run = sockdiag_dump_run, .keep = {-1, -1}, .max = HELD_MAX};
	int r;

	if (kind->extensions || sockdiag_dump_is_serial())
		return held_rows_read_sockets(&call, &task.rows, sizeof(task), kind->row_size, ret,
		                              ret_n, err);
	r = sockdiag_dump_make(&task, &d);
	if (r < 0)
		return error_set(err, r, "%s", strerror(-r));
	*(void **)ret = TAKE_PTR(d.rows.at);
	*ret_n = d.rows.n;
	return 0;
}
