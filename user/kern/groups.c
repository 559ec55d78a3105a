/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/groups.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "group.skel.h"
#include "kern/socket_iterator.h"
#include "kern/steer_maps.h"

#define GROUPS_PIN "groups"

/* The kernel makes up to 32 KiB of rows in one read. */
#define GROUPS_ROWS_AT_ONCE (32768 / sizeof(struct rpd_group_member))
#define GROUPS_PASSES       2

struct groups_rows {
	struct rpd_group_member *at;
	size_t n;
};

void groups_init(struct groups *groups)
{
	groups->fd = -1;
}

void groups_close(struct groups *groups)
{
	cleanup_close(&groups->fd);
	groups_init(groups);
}

bool groups_is_pin(const char *name)
{
	return !strcmp(name, GROUPS_PIN);
}

bool groups_are_known(const struct groups *groups)
{
	return groups->fd >= 0;
}

static void groups_destroy_skel(struct group_bpf **skel)
{
	group_bpf__destroy(*skel);
}

static int groups_attach_iterator(struct group_bpf *skel, bool asked)
{
	union bpf_iter_link_info over = {.map.map_fd = (uint32_t)bpf_map__fd(skel->maps.marks)};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &over, .link_info_len = sizeof(over));

	skel->links.show_member = bpf_program__attach_iter(
	        asked ? skel->progs.show_served : skel->progs.show_member, &opts);
	return skel->links.show_member ? 0 : -errno;
}

/* @asked: whether the iterator shows if a listener is served. */
static int groups_load(struct groups *groups, const struct steer *steer, bool asked,
                       const char *path)
{
	_cleanup_(groups_destroy_skel) struct group_bpf *skel = group_bpf__open();
	_cleanup_close_ int fd = -1;
	char log[4096]; /* with a buffer of ours, libbpf prints no log of a program that is refused
	                 */
	int r = skel ? steer_maps_share(steer, skel->obj) : -errno;

	if (r == 0)
		r = bpf_program__set_log_buf(skel->progs.show_served, log, sizeof(log));
	if (r == 0)
		r = bpf_program__set_autoload(skel->progs.show_listener, false);
	if (r == 0)
		r = bpf_program__set_autoload(skel->progs.show_member, !asked);
	if (r == 0)
		r = bpf_program__set_autoload(skel->progs.show_served, asked);
	if (r == 0)
		r = group_bpf__load(skel);
	if (r == 0)
		r = groups_attach_iterator(skel, asked);
	if (r < 0)
		return r;
	fd = fcntl(bpf_link__fd(skel->links.show_member), F_DUPFD_CLOEXEC, 3);
	if (fd < 0 || bpf_obj_pin(fd, path) < 0)
		return -errno;
	groups->fd = TAKE_FD(fd);
	return 0;
}

void groups_attach(struct groups *groups, const struct steer *steer, const struct pins *pins)
{
	char path[PATH_MAX];

	pins_path(pins, GROUPS_PIN, path);
	if (groups_load(groups, steer, true, path) < 0)
		groups_load(groups, steer, false, path);
}

void groups_pin_missing(const struct groups *groups, const struct pins *pins)
{
	char path[PATH_MAX];

	if (groups->fd >= 0)
		bpf_obj_pin(groups->fd, pins_path(pins, GROUPS_PIN, path));
}

void groups_open(struct groups *groups, const struct pins *pins)
{
	char path[PATH_MAX];

	groups->fd = bpf_obj_get(pins_path(pins, GROUPS_PIN, path));
}

/* Adds the rows of the iterator. Returns 0 if one read was enough, 1 if not, or a negative errno.
 */
static int groups_add_rows(int link, struct groups_rows *rows)
{
	_cleanup_close_ int fd = bpf_iter_create(link);
	unsigned int reads = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		struct rpd_group_member *more =
		        reallocarray(rows->at, rows->n + GROUPS_ROWS_AT_ONCE, sizeof(*more));
		ssize_t got;

		if (!more)
			return -ENOMEM;
		rows->at = more;
		got = read(fd, more + rows->n, GROUPS_ROWS_AT_ONCE * sizeof(*more));
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (got == 0)
			return reads > 1;
		if (got > 0) {
			rows->n += (size_t)got / sizeof(*more);
			reads++;
		}
	}
}

static int groups_compare(const void *a, const void *b)
{
	const struct rpd_group_member *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

/* Sorts the rows, and keeps one of each listener. */
static void groups_merge(struct groups_rows *rows)
{
	size_t kept = 0;

	qsort(rows->at, rows->n, sizeof(*rows->at), groups_compare);
	for (size_t i = 0; i < rows->n; i++)
		if (!kept || rows->at[kept - 1].cookie != rows->at[i].cookie)
			rows->at[kept++] = rows->at[i];
	rows->n = kept;
}

/* Between two reads the kernel keeps its position as a number of listeners to skip: if one closes
 * in between, another one is skipped. So an iterator that takes more than one read is read again.
 */
int groups_read(const struct groups *groups, struct rpd_group_member **ret, size_t *ret_n,
                struct error *err)
{
	struct groups_rows rows = {};
	int r = 1;

	if (groups->fd < 0)
		return error_set(err, -EOPNOTSUPP,
		                 "the program of its groups can't be seen: " GROUPS_NEEDS);
	for (int pass = 0; r > 0 && pass < GROUPS_PASSES; pass++)
		r = groups_add_rows(groups->fd, &rows);
	if (r < 0) {
		free(rows.at);
		return error_set(err, r, "can't read the service's groups: %s", strerror(-r));
	}
	groups_merge(&rows);
	*ret = rows.at;
	*ret_n = rows.n;
	return 0;
}

const struct rpd_group_member *groups_find(const struct rpd_group_member *rows, size_t n,
                                           uint64_t cookie)
{
	const struct rpd_group_member key = {.cookie = cookie};

	return n ? bsearch(&key, rows, n, sizeof(key), groups_compare) : NULL;
}

static int groups_fill_maps(const struct group_bpf *skel, const struct listener *listeners,
                            size_t n)
{
	const int members = bpf_map__fd(skel->maps.members), ports = bpf_map__fd(skel->maps.ports);
	const struct rpd_member member = {};
	struct rpd_ports has = {};
	uint32_t zero = 0;

	for (size_t i = 0; i < n; i++) {
		const uint16_t port = listeners[i].endpoint.port;

		has.has[port / 64] |= 1ull << port % 64;
		if (bpf_map_update_elem(members, &listeners[i].cookie, &member, BPF_ANY) < 0)
			return -errno;
	}
	return bpf_map_update_elem(ports, &zero, &has, BPF_ANY) < 0 ? -errno : 0;
}

int groups_read_listeners(const struct listener *listeners, size_t n, struct rpd_group_member **ret,
                          size_t *ret_n)
{
	_cleanup_(groups_destroy_skel) struct group_bpf *skel = group_bpf__open();
	struct error ignored;
	int r = skel ? bpf_program__set_autoload(skel->progs.show_member, false) : -errno;

	if (r == 0)
		r = bpf_map__set_autocreate(skel->maps.workers, false);
	if (r == 0)
		r = group_bpf__load(skel);
	if (r == 0)
		r = groups_fill_maps(skel, listeners, n);
	if (r == 0)
		r = group_bpf__attach(skel);
	if (r == 0)
		r = socket_iterator_read(bpf_link__fd(skel->links.show_listener), sizeof(**ret),
		                         ret, ret_n, &ignored);
	return r;
}
