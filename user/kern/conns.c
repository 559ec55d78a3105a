/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/conns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "conn.skel.h"
#include "core/connection_rate.h"
#include "kern/map_range.h"
#include "kern/socket_iterator.h"
#include "kern/steer_maps.h"

/* The pins, made in this order: if the last one exists, all do. */
enum conn_pin { PIN_RATES, PIN_OPEN, PIN_LINK, PIN_LINK_AGAIN, PIN_MAX };

static const char *const pin_names[PIN_MAX] = {
        [PIN_RATES] = "rates",
        [PIN_OPEN] = "open",
        [PIN_LINK] = "conn",
        [PIN_LINK_AGAIN] = "conn-again",
};

void conns_init(struct conns *conns)
{
	*conns = (struct conns){.rates_fd = -1, .open_fd = -1, .link_fds = {-1, -1}};
}

void conns_close(struct conns *conns)
{
	cleanup_close(&conns->rates_fd);
	cleanup_close(&conns->open_fd);
	cleanup_close(&conns->link_fds[0]);
	cleanup_close(&conns->link_fds[1]);
	conns_init(conns);
}

bool conns_is_pin(const char *name)
{
	for (unsigned int i = 0; i < PIN_MAX; i++)
		if (!strcmp(name, pin_names[i]))
			return true;
	return false;
}

static void conns_destroy_skel(struct conn_bpf **skel)
{
	conn_bpf__destroy(*skel);
}

static int conns_pin_one(int fd, const struct pins *pins, enum conn_pin which)
{
	char path[PATH_MAX];

	return bpf_obj_pin(fd, pins_path(pins, pin_names[which], path)) < 0 && errno != EEXIST
	               ? -errno
	               : 0;
}

/* Opens the skeleton, with the maps that it shares with the steering programs. */
static int conns_open_skel(const struct steer *steer, struct conn_bpf **ret)
{
	_cleanup_(conns_destroy_skel) struct conn_bpf *skel = conn_bpf__open();
	int r = skel ? steer_maps_share(steer, skel->obj) : -errno;

	if (r < 0)
		return r;
	skel->rodata->conn_mask = bpf_map__max_entries(skel->maps.conns) - 1;
	*ret = TAKE_PTR(skel);
	return 0;
}

int conns_pin_missing(const struct conns *conns, const struct pins *pins)
{
	const int fds[PIN_MAX] = {
	        [PIN_RATES] = conns->rates_fd,
	        [PIN_OPEN] = conns->open_fd,
	        [PIN_LINK] = conns->link_fds[0],
	        [PIN_LINK_AGAIN] = conns->link_fds[1],
	};
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < PIN_MAX; i++)
		if (fds[i] >= 0)
			r = conns_pin_one(fds[i], pins, i);
	return r;
}

static int conns_load(struct conns *conns, const struct steer *steer, const struct pins *pins)
{
	_cleanup_(conns_destroy_skel) struct conn_bpf *skel = NULL;
	int r = conns_open_skel(steer, &skel);

	if (r < 0)
		return r;
	bpf_program__set_autoload(skel->progs.tag_found, false);
	r = conn_bpf__load(skel);
	if (r == 0)
		r = conn_bpf__attach(skel);
	if (r < 0)
		return r;
	conns->rates_fd = fcntl(bpf_map__fd(skel->maps.rates), F_DUPFD_CLOEXEC, 3);
	conns->open_fd = fcntl(bpf_link__fd(skel->links.show_open), F_DUPFD_CLOEXEC, 3);
	conns->link_fds[0] = fcntl(bpf_link__fd(skel->links.on_state), F_DUPFD_CLOEXEC, 3);
	conns->link_fds[1] = fcntl(bpf_link__fd(skel->links.on_state_again), F_DUPFD_CLOEXEC, 3);
	if (conns->rates_fd < 0 || conns->open_fd < 0 || conns->link_fds[0] < 0 ||
	    conns->link_fds[1] < 0)
		return -errno;
	return conns_pin_missing(conns, pins);
}

__attribute__((format(printf, 2, 3))) static void conns_set_reason(struct conns *conns,
                                                                   const char *format, ...)
{
	va_list args;

	conns_close(conns);
	va_start(args, format);
	vsnprintf(conns->why, sizeof(conns->why), format, args);
	va_end(args);
}

static void conns_explain_not_attached(struct conns *conns, int error)
{
	if (error == 0) {
		conns_set_reason(conns, "the service was attached with --no-count");
		return;
	}
	conns_set_reason(
	        conns,
	        "%s when the service was attached; it needs BTF (CONFIG_DEBUG_INFO_BTF) and "
	        "CAP_PERFMON",
	        strerror(-error));
}

void conns_attach(struct conns *conns, struct steer *steer, const struct pins *pins)
{
	int r = conns_load(conns, steer, pins);

	steer->control->counting_error = r;
	if (r < 0) {
		for (unsigned int i = 0; i < PIN_MAX; i++) {
			char path[PATH_MAX];

			unlink(pins_path(pins, pin_names[i], path));
		}
		conns_explain_not_attached(conns, r);
		return;
	}
	conns->counting = true;
}

void conns_enable(const struct conns *conns, struct steer *steer)
{
	if (conns->counting)
		__atomic_store_n(&steer->control->counting, 1, __ATOMIC_RELEASE);
}

/* Whether the pinned map has the layout that we read. */
static bool conns_has_layout(int fd, enum bpf_map_type type, uint32_t value_size,
                             uint32_t max_entries)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == type &&
	       info.value_size == value_size && info.max_entries == max_entries;
}

void conns_open(struct conns *conns, const struct steer *steer, const struct pins *pins)
{
	int *fds[PIN_MAX] = {
	        [PIN_RATES] = &conns->rates_fd,
	        [PIN_OPEN] = &conns->open_fd,
	        [PIN_LINK] = &conns->link_fds[0],
	        [PIN_LINK_AGAIN] = &conns->link_fds[1],
	};

	if (!steer->control->counting) {
		conns_explain_not_attached(conns, steer->control->counting_error);
		return;
	}
	for (unsigned int i = 0; i < PIN_MAX; i++) {
		char path[PATH_MAX];

		pins_path(pins, pin_names[i], path);
		*fds[i] = bpf_obj_get(path);
		if (*fds[i] < 0) {
			conns_set_reason(conns, "counting was detached: %s: %s", path,
			                 strerror(errno));
			return;
		}
	}
	if (!conns_has_layout(conns->rates_fd, BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct rpd_rate),
	                      RPD_SLOT_MAX)) {
		conns_set_reason(conns,
		                 "counting was detached: its pins are not those of reuseportd");
		return;
	}
	conns->counting = true;
}

int conns_read_counts(const struct steer *steer, uint16_t first, size_t n, struct conn_count *ret)
{
	int n_cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct rpd_account *rows = NULL;
	int r;

	if (n_cpus > 0)
		rows = calloc(n * n_cpus, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	r = map_range_read(steer->map_fd[STEER_ACCOUNTS], first, n, rows);
	if (r < 0)
		return r;
	memset(ret, 0, n * sizeof(*ret));
	for (size_t i = 0; i < n * n_cpus; i++)
		for (unsigned int c = 0; c < RPD_CONN_COUNTER_MAX; c++)
			ret[i / n_cpus].of[c] += rows[i].of[c];
	return 0;
}

int conns_read_count(const struct steer *steer, uint16_t account, struct conn_count *ret)
{
	return conns_read_counts(steer, account, 1, ret);
}

int conns_clear_count(struct steer *steer, uint16_t account)
{
	int n_cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct rpd_account *rows = n_cpus > 0 ? calloc(n_cpus, sizeof(*rows)) : NULL;
	const struct rpd_load none = {};
	uint32_t key = account;

	if (!rows)
		return -ENOMEM;
	if (bpf_map_update_elem(steer->map_fd[STEER_ACCOUNTS], &key, rows, BPF_ANY) < 0 ||
	    bpf_map_update_elem(steer->map_fd[STEER_LOADS], &key, &none, BPF_ANY) < 0)
		return -errno;
	return 0;
}

int conns_read_rates(const struct conns *conns, size_t n, struct conn_seconds *ret)
{
	int n_cpus = libbpf_num_possible_cpus();
	uint64_t now_s = clock_ns(CLOCK_MONOTONIC) / NS_PER_S;
	_cleanup_free_ struct rpd_rate *rows = NULL;
	int r;

	if (n_cpus > 0)
		rows = calloc(n * n_cpus, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	r = map_range_read(conns->rates_fd, 0, n, rows);
	if (r < 0)
		return r;
	memset(ret, 0, n * sizeof(*ret));
	for (size_t i = 0; i < n * n_cpus; i++)
		connection_rate_add(&rows[i], now_s, ret[i / n_cpus].opened);
	return 0;
}

/* Fills the map of tag_found(). */
static int conns_fill_found(int map, const struct conn_found *found, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct rpd_found note = {.account = found[i].account};

		if (bpf_map_update_elem(map, &found[i].cookie, &note, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

/* Loads the program that counts them. */
static int conns_load_tag_found(const struct steer *steer, const struct conn_found *found, size_t n,
                                struct conn_bpf **ret)
{
	_cleanup_(conns_destroy_skel) struct conn_bpf *skel = NULL;
	int r = conns_open_skel(steer, &skel);

	if (r < 0)
		return r;
	bpf_program__set_autoload(skel->progs.on_state, false);
	bpf_program__set_autoload(skel->progs.on_state_again, false);
	bpf_program__set_autoload(skel->progs.show_open, false);
	r = bpf_map__set_max_entries(skel->maps.found, n);
	if (r == 0)
		r = conn_bpf__load(skel);
	if (r == 0)
		r = conns_fill_found(bpf_map__fd(skel->maps.found), found, n);
	if (r < 0)
		return r;
	skel->links.tag_found = bpf_program__attach_iter(skel->progs.tag_found, NULL);
	if (!skel->links.tag_found)
		return -errno;
	*ret = TAKE_PTR(skel);
	return 0;
}

int conns_count_found(const struct conns *conns, struct steer *steer,
                      const struct conn_found *found, size_t n, struct error *err)
{
	_cleanup_(conns_destroy_skel) struct conn_bpf *skel = NULL;
	_cleanup_free_ void *none = NULL;
	struct error why;
	size_t n_none;
	int r;

	if (!conns->counting || n == 0)
		return 0;
	r = conns_load_tag_found(steer, found, n, &skel);
	if (r < 0)
		error_set(&why, r, "%s", strerror(-r));
	else
		r = socket_iterator_read(bpf_link__fd(skel->links.tag_found), sizeof(uint64_t),
		                         &none, &n_none, &why);
	return r < 0 ? error_set(err, r, "can't count the connections that are open already: %s",
	                         why.text)
	             : 0;
}

static int conns_compare_cookies(const void *a, const void *b)
{
	const struct connection *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

static void conns_mark_one(struct connection *connections, size_t n, const struct rpd_open *row)
{
	const struct connection key = {.cookie = row->cookie};
	struct connection *it = bsearch(&key, connections, n, sizeof(key), conns_compare_cookies);

	if (!it || (row->tag & RPD_TAG_ACCOUNT) == RPD_TAG_NONE)
		return;
	it->counted = true;
	it->account = row->tag & RPD_TAG_ACCOUNT;
	it->since = row->tag >> RPD_TAG_BITS << RPD_TAG_TICK_LOG;
}

/* Walks over the counted connections, and marks the ones in @connections. */
static int conns_walk_open(const struct conns *conns, struct connection *connections, size_t n,
                           struct error *err)
{
	_cleanup_free_ struct rpd_open *rows = NULL;
	struct error why;
	size_t n_rows;
	int r = socket_iterator_read(conns->open_fd, sizeof(*rows), &rows, &n_rows, &why);

	if (r < 0)
		return error_set(err, r, "can't list the counted connections: %s", why.text);
	for (size_t i = 0; i < n_rows; i++)
		conns_mark_one(connections, n, &rows[i]);
	return 0;
}

int conns_mark_counted(const struct conns *conns, struct connection *connections, size_t n,
                       struct error *err)
{
	if (n == 0)
		return 0;
	qsort(connections, n, sizeof(*connections), conns_compare_cookies);
	return conns_walk_open(conns, connections, n, err);
}

int conns_count_loads(const struct conns *conns, struct steer *steer, const struct grace *grace,
                      struct error *err)
{
	struct connection none = {};
	int r;

	__atomic_store_n(&steer->control->counting_loads, 1, __ATOMIC_RELEASE);
	r = grace_wait(grace, err);
	if (r == 0)
		r = conns_walk_open(conns, &none, 0, err);
	if (r < 0)
		__atomic_store_n(&steer->control->counting_loads, 0, __ATOMIC_RELEASE);
	return r;
}
