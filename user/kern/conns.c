/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/conns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "conn.skel.h"
#include "core/rate.h"

/* The kernel locks each socket that it shows: no more than needed of those behind the listeners. */
#define HANDSHAKES_AT_ONCE 128

/* Notes that are made at a time; far less than the map has room for. */
#define FOUND_AT_ONCE 16384

/* What is pinned, in this order: with the last of them there, all are. */
enum conn_pin { PIN_TAGS, PIN_RATES, PIN_HANDSHAKES, PIN_LINK, PIN_LINK_AGAIN, PIN_MAX };

static const char *const pin_names[PIN_MAX] = {
        [PIN_TAGS] = "tags", [PIN_RATES] = "rates",           [PIN_HANDSHAKES] = "handshakes",
        [PIN_LINK] = "conn", [PIN_LINK_AGAIN] = "conn-again",
};

void conns_init(struct conns *conns)
{
	*conns = (struct conns){.tags_fd = -1, .rates_fd = -1, .handshakes_fd = -1};
}

void conns_close(struct conns *conns)
{
	cleanup_close(&conns->tags_fd);
	cleanup_close(&conns->rates_fd);
	cleanup_close(&conns->handshakes_fd);
	conns_init(conns);
}

bool conns_is_pin(const char *name)
{
	for (unsigned int i = 0; i < PIN_MAX; i++)
		if (!strcmp(name, pin_names[i]))
			return true;
	return false;
}

static void cleanup_skel(struct conn_bpf **skel)
{
	conn_bpf__destroy(*skel);
}

static int pin(int fd, const struct pins *pins, enum conn_pin which)
{
	char path[PATH_MAX];

	return bpf_obj_pin(fd, pins_path(pins, pin_names[which], path)) < 0 ? -errno : 0;
}

/* Gives the skeleton the maps that it shares with the steering programs. */
static int share_maps(const struct steer *steer, struct conn_bpf *skel)
{
	int r = bpf_map__reuse_fd(skel->maps.accounts, steer->map_fd[STEER_ACCOUNTS]);

	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.moved, steer->map_fd[STEER_MOVED]);
	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.control, steer->map_fd[STEER_CONTROL]);
	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.workers, steer->map_fd[STEER_WORKERS]);
	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.events, steer->map_fd[STEER_EVENTS]);
	return r;
}

static int start(struct conns *conns, const struct steer *steer, const struct pins *pins)
{
	_cleanup_(cleanup_skel) struct conn_bpf *skel = conn_bpf__open();
	int r = skel ? share_maps(steer, skel) : -errno;

	if (r == 0)
		r = conn_bpf__load(skel);
	if (r == 0)
		r = conn_bpf__attach(skel);
	if (r < 0)
		return r;
	conns->tags_fd = fcntl(bpf_map__fd(skel->maps.tags), F_DUPFD_CLOEXEC, 3);
	conns->rates_fd = fcntl(bpf_map__fd(skel->maps.rates), F_DUPFD_CLOEXEC, 3);
	conns->handshakes_fd = fcntl(bpf_link__fd(skel->links.show_listener), F_DUPFD_CLOEXEC, 3);
	if (conns->tags_fd < 0 || conns->rates_fd < 0 || conns->handshakes_fd < 0)
		return -errno;
	r = pin(conns->tags_fd, pins, PIN_TAGS);
	if (r == 0)
		r = pin(conns->rates_fd, pins, PIN_RATES);
	if (r == 0)
		r = pin(conns->handshakes_fd, pins, PIN_HANDSHAKES);
	if (r == 0)
		r = pin(bpf_link__fd(skel->links.on_state), pins, PIN_LINK);
	if (r == 0)
		r = pin(bpf_link__fd(skel->links.on_state_again), pins, PIN_LINK_AGAIN);
	return r;
}

__attribute__((format(printf, 2, 3))) static void not_counting(struct conns *conns,
                                                               const char *format, ...)
{
	va_list args;

	conns_close(conns);
	va_start(args, format);
	vsnprintf(conns->why, sizeof(conns->why), format, args);
	va_end(args);
}

static void not_started(struct conns *conns, int error)
{
	if (error == 0) {
		not_counting(conns, "it was attached without --count");
		return;
	}
	not_counting(conns,
	             "%s when the service was attached; it needs BTF (CONFIG_DEBUG_INFO_BTF) and "
	             "CAP_PERFMON",
	             strerror(-error));
}

void conns_start(struct conns *conns, struct steer *steer, const struct pins *pins)
{
	int r = start(conns, steer, pins);

	steer->control->counting_error = r;
	if (r < 0) {
		for (unsigned int i = 0; i < PIN_MAX; i++) {
			char path[PATH_MAX];

			unlink(pins_path(pins, pin_names[i], path));
		}
		not_started(conns, r);
		return;
	}
	conns->counting = true;
}

void conns_started(const struct conns *conns, struct steer *steer)
{
	if (conns->counting)
		__atomic_store_n(&steer->control->counting, 1, __ATOMIC_RELEASE);
}

/* Whether the pinned map is of the layout that is read. */
static bool has_layout(int fd, enum bpf_map_type type, uint32_t value_size, uint32_t max_entries)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == type &&
	       info.value_size == value_size && info.max_entries == max_entries;
}

void conns_open(struct conns *conns, const struct steer *steer, const struct pins *pins)
{
	int *fds[PIN_MAX] = {
	        [PIN_TAGS] = &conns->tags_fd,
	        [PIN_RATES] = &conns->rates_fd,
	        [PIN_HANDSHAKES] = &conns->handshakes_fd,
	};
	_cleanup_close_ int link = -1, again = -1;

	if (!steer->control->counting) {
		not_started(conns, steer->control->counting_error);
		return;
	}
	fds[PIN_LINK] = &link;
	fds[PIN_LINK_AGAIN] = &again;
	for (unsigned int i = 0; i < PIN_MAX; i++) {
		char path[PATH_MAX];

		pins_path(pins, pin_names[i], path);
		*fds[i] = bpf_obj_get(path);
		if (*fds[i] < 0) {
			not_counting(conns, "the counting was detached: %s: %s", path,
			             strerror(errno));
			return;
		}
	}
	if (!has_layout(conns->tags_fd, BPF_MAP_TYPE_SK_STORAGE, sizeof(struct rpd_tag), 0) ||
	    !has_layout(conns->rates_fd, BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct rpd_rate),
	                RPD_SLOT_MAX)) {
		not_counting(conns, "the counting was detached: its pins are not reuseportd's");
		return;
	}
	conns->counting = true;
}

int conns_tag_listener(const struct conns *conns, int fd, uint16_t account)
{
	const struct rpd_tag tag = {.account = account};

	if (!conns->counting || account == RPD_ACCOUNT_NONE)
		return 0;
	return bpf_map_update_elem(conns->tags_fd, &fd, &tag, BPF_ANY) < 0 ? -errno : 0;
}

/* Room for one account's row of each CPU; *ret_n: how many those are. */
static struct rpd_account *account_rows(int *ret_n)
{
	*ret_n = libbpf_num_possible_cpus();
	return *ret_n > 0 ? calloc(*ret_n, sizeof(struct rpd_account)) : NULL;
}

int conns_count(const struct steer *steer, uint16_t account, struct conn_count *ret)
{
	int n_cpus;
	_cleanup_free_ struct rpd_account *rows = account_rows(&n_cpus);
	uint32_t key = account;

	if (!rows)
		return -ENOMEM;
	if (bpf_map_lookup_elem(steer->map_fd[STEER_ACCOUNTS], &key, rows) < 0)
		return -errno;
	memset(ret, 0, sizeof(*ret));
	for (int cpu = 0; cpu < n_cpus; cpu++)
		for (unsigned int c = 0; c < RPD_CONN_COUNTER_MAX; c++)
			ret->of[c] += rows[cpu].of[c];
	return 0;
}

int conns_clear(struct steer *steer, uint16_t account)
{
	int n_cpus;
	_cleanup_free_ struct rpd_account *rows = account_rows(&n_cpus);
	uint32_t key = account;

	if (!rows)
		return -ENOMEM;
	return bpf_map_update_elem(steer->map_fd[STEER_ACCOUNTS], &key, rows, BPF_ANY) < 0 ? -errno
	                                                                                   : 0;
}

int conns_rates(const struct conns *conns, unsigned int slot, uint32_t ret[RPD_RATE_SECONDS - 1])
{
	int n_cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct rpd_rate *rows = NULL;

	if (n_cpus > 0)
		rows = calloc(n_cpus, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	if (bpf_map_lookup_elem(conns->rates_fd, &slot, rows) < 0)
		return -errno;
	memset(ret, 0, (RPD_RATE_SECONDS - 1) * sizeof(*ret));
	for (int cpu = 0; cpu < n_cpus; cpu++)
		rate_add(&rows[cpu], clock_ns(CLOCK_MONOTONIC) / NS_PER_S, ret);
	return 0;
}

uint16_t conns_account(const struct steer *steer, uint64_t cookie, const struct rpd_tag *tag)
{
	struct rpd_moved moved;

	if (!steer->control->n_moved ||
	    bpf_map_lookup_elem(steer->map_fd[STEER_MOVED], &cookie, &moved) < 0)
		return tag->account;
	return moved.account;
}

/* Runs an iterator that writes nothing. */
static int run_iterator(int link)
{
	_cleanup_close_ int fd = bpf_iter_create(link);
	char nothing[16];
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, nothing, sizeof(nothing));
	} while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	return n < 0 ? -errno : 0;
}

static int run_tag_found(const struct conns *conns, const struct steer *steer)
{
	_cleanup_(cleanup_skel) struct conn_bpf *skel = conn_bpf__open();
	int r = skel ? share_maps(steer, skel) : -errno;

	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.tags, conns->tags_fd);
	if (r < 0)
		return r;
	bpf_program__set_autoload(skel->progs.on_state, false);
	bpf_program__set_autoload(skel->progs.on_state_again, false);
	bpf_program__set_autoload(skel->progs.show_listener, false);
	r = conn_bpf__load(skel);
	if (r < 0)
		return r;
	skel->links.tag_found = bpf_program__attach_iter(skel->progs.tag_found, NULL);
	if (!skel->links.tag_found)
		return -errno;
	return run_iterator(bpf_link__fd(skel->links.tag_found));
}

/* Notes a few of them, has those that are still open tagged, and takes the notes back: the tags say
 * it now. But those whose worker isn't known are told by their note, in case they migrate. */
static int add_some(const struct conns *conns, struct steer *steer, const struct conn_found *found,
                    size_t n)
{
	int map = steer->map_fd[STEER_MOVED], r = 0;
	struct rpd_moved note;

	for (size_t i = 0; r == 0 && i < n; i++) {
		note = (struct rpd_moved){.account = found[i].account};
		if (bpf_map_update_elem(map, &found[i].cookie, &note, BPF_NOEXIST) == 0)
			__atomic_fetch_add(&steer->control->n_moved, 1, __ATOMIC_RELAXED);
		else if (errno == E2BIG)
			steer->control->n_uncounted++;
		else
			r = -errno;
	}
	if (r == 0)
		r = run_tag_found(conns, steer);
	for (size_t i = 0; i < n; i++)
		if (bpf_map_lookup_elem(map, &found[i].cookie, &note) == 0 &&
		    (!note.taken || found[i].account != RPD_ACCOUNT_UNKNOWN) &&
		    bpf_map_delete_elem(map, &found[i].cookie) == 0)
			__atomic_fetch_sub(&steer->control->n_moved, 1, __ATOMIC_RELAXED);
	return r;
}

int conns_add_found(const struct conns *conns, struct steer *steer, const struct conn_found *found,
                    size_t n, struct error *err)
{
	for (size_t i = 0; conns->counting && i < n; i += FOUND_AT_ONCE) {
		size_t some = n - i < FOUND_AT_ONCE ? n - i : FOUND_AT_ONCE;
		int r = add_some(conns, steer, found + i, some);

		if (r < 0)
			return error_set(err, r,
			                 "can't count the connections that are open already: %s",
			                 strerror(-r));
	}
	return 0;
}

/* Reads the rows of an iterator up to the one that ends them. */
static ssize_t read_handshakes(int link, struct rpd_handshakes *rows, size_t max)
{
	_cleanup_close_ int fd = bpf_iter_create(link);
	size_t n = 0;

	if (fd < 0)
		return -errno;
	while (n < max) {
		size_t some = max - n < HANDSHAKES_AT_ONCE ? max - n : HANDSHAKES_AT_ONCE;
		ssize_t got = read(fd, rows + n, some * sizeof(*rows));

		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (got == 0)
			return n;
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(*rows); i++, n++)
			if (!rows[n].cookie)
				return n;
	}
	return n;
}

int conns_handshakes(const struct conns *conns, struct rpd_handshakes **ret, size_t *ret_n,
                     struct error *err)
{
	size_t max = 2 * RPD_SLOT_MAX; /* one look is to be enough */
	_cleanup_free_ struct rpd_handshakes *rows = NULL;
	ssize_t n;

	for (;; max *= 2) {
		struct rpd_handshakes *more = reallocarray(rows, max, sizeof(*rows));

		if (!more)
			return error_set(err, -ENOMEM, "out of memory");
		rows = more;
		n = read_handshakes(conns->handshakes_fd, rows, max);
		if (n < 0)
			return error_set(err, (int)n, "can't read the handshakes: %s",
			                 strerror(-(int)n));
		if ((size_t)n < max)
			break;
	}
	*ret_n = n;
	*ret = TAKE_PTR(rows);
	return 0;
}
