/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "core/schedule.h"
#include "kern/conn_table.h"
#include "steer.skel.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif
#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

/* The maps are defined in steer.bpf.c; this is what a pin must look like to be one of them. */
struct map_kind {
	const char *name;
	enum bpf_map_type type;
	uint32_t value_size;  /* 0: any */
	uint32_t max_entries; /* 0: any */
};

static const struct map_kind map_kinds[STEER_MAP_MAX] = {
        [STEER_SERVICE] = {STEER_FIRST_PIN, BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_service), 1},
        [STEER_CONTROL] = {"control", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_control), 1},
        [STEER_SCHEDULES] = {"schedules", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_schedule), 2},
        [STEER_COUNTERS] = {"counters", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct rpd_tally),
                            RPD_OUTCOME_MAX},
        [STEER_MEMBERS] = {"members", BPF_MAP_TYPE_HASH, sizeof(struct rpd_member), 0},
        [STEER_WORKERS] = {"workers", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_worker), RPD_SLOT_MAX},
        [STEER_ACCOUNTS] = {"accounts", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct rpd_account),
                            RPD_ACCOUNT_MAX},
        [STEER_CONNS] = {"conns", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_conns), 0},
        [STEER_CONNS_MORE] = {"conns_more", BPF_MAP_TYPE_HASH, sizeof(uint64_t), 0},
        [STEER_EVENTS] = {"events", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_events), 1},
        [STEER_PROBES] = {"probes", BPF_MAP_TYPE_HASH, sizeof(uint32_t),
                          RPD_SLOT_MAX + RPD_PROBE_MAX},
        [STEER_PORTS] = {"ports", BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_ports), 1},
};

void steer_init(struct steer *steer)
{
	memset(steer, 0, sizeof(*steer));
	memset(steer->map_fd, -1, sizeof(steer->map_fd));
	memset(steer->socks_fd, -1, sizeof(steer->socks_fd));
	memset(steer->prog_fd, -1, sizeof(steer->prog_fd));
}

void steer_close(struct steer *steer)
{
	if (steer->service)
		munmap(steer->service, sizeof(*steer->service));
	if (steer->control)
		munmap(steer->control, sizeof(*steer->control));
	if (steer->schedules)
		munmap(steer->schedules, 2 * sizeof(*steer->schedules));
	if (steer->events)
		munmap(steer->events, sizeof(*steer->events));
	for (unsigned int i = 0; i < STEER_MAP_MAX; i++)
		cleanup_close(&steer->map_fd[i]);
	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++) {
		cleanup_close(&steer->socks_fd[i]);
		cleanup_close(&steer->prog_fd[i]);
	}
	steer_init(steer);
}

static int steer_map_memory(int fd, size_t size, void **memory, struct error *err)
{
	void *p;

	if (*memory)
		return 0;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return error_set(err, -errno, "can't map a BPF map: %s", strerror(errno));
	*memory = p;
	return 0;
}

static int steer_map_memories(struct steer *steer, struct error *err)
{
	int r = steer_map_memory(steer->map_fd[STEER_SERVICE], sizeof(*steer->service),
	                         (void **)&steer->service, err);

	if (r == 0)
		r = steer_map_memory(steer->map_fd[STEER_CONTROL], sizeof(*steer->control),
		                     (void **)&steer->control, err);
	if (r == 0)
		r = steer_map_memory(steer->map_fd[STEER_SCHEDULES], 2 * sizeof(*steer->schedules),
		                     (void **)&steer->schedules, err);
	if (r == 0)
		r = steer_map_memory(steer->map_fd[STEER_EVENTS], sizeof(*steer->events),
		                     (void **)&steer->events, err);
	return r;
}

static int steer_pin(int fd, const struct pins *pins, const char *name, struct error *err)
{
	char path[PATH_MAX];

	if (bpf_obj_pin(fd, pins_path(pins, name, path)) < 0)
		return error_set(err, -errno, "can't pin %s: %s", path, strerror(errno));
	return 0;
}

static void steer_cleanup_skel(struct steer_bpf **skel)
{
	steer_bpf__destroy(*skel);
}

/* Gives the skeleton the service's maps; those that don't exist yet it will make. */
static int steer_share_maps(const struct steer *steer, struct steer_bpf *skel)
{
	for (unsigned int i = 0; i < STEER_MAP_MAX; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(skel->obj, map_kinds[i].name);
		int r;

		if (steer->map_fd[i] < 0)
			continue;
		r = bpf_map__reuse_fd(map, steer->map_fd[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Tells the program the size of the table of connections, which it has or is made with. */
static int steer_size_conns(const struct steer *steer, struct steer_bpf *skel, uint32_t max_conns)
{
	int r = 0;

	if (steer->map_fd[STEER_CONNS] < 0)
		r = conn_table_size(skel->maps.conns, skel->maps.conns_more, max_conns);
	if (r == 0)
		skel->rodata->conn_mask = bpf_map__max_entries(skel->maps.conns) - 1;
	return r;
}

/* Takes over and pins the maps that were made. */
static int steer_adopt_maps(struct steer *steer, const struct pins *pins, struct steer_bpf *skel,
                            struct error *err)
{
	int r;

	for (unsigned int i = 0; i < STEER_MAP_MAX; i++) {
		int fd = bpf_object__find_map_fd_by_name(skel->obj, map_kinds[i].name);

		steer->map_fd[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (steer->map_fd[i] < 0)
			return error_set(err, -errno, "can't keep a BPF map: %s", strerror(errno));
	}
	r = steer_map_memories(steer, err);
	if (r < 0)
		return r;
	steer->service->magic = RPD_MAGIC;
	steer->service->abi = RPD_ABI_VERSION;
	steer->service->stage = RPD_STAGE_FILLING;
	schedule_init(&steer->schedules[0]);
	for (unsigned int i = 0; i < STEER_MAP_MAX && r == 0; i++)
		r = steer_pin(steer->map_fd[i], pins, map_kinds[i].name, err);
	return r;
}

/* Pins the endpoint's own socket array and program. */
static int steer_adopt_endpoint(struct steer *steer, const struct pins *pins,
                                struct steer_bpf *skel, unsigned int index, struct error *err)
{
	char name[16];
	int r;

	steer->socks_fd[index] = fcntl(bpf_map__fd(skel->maps.socks), F_DUPFD_CLOEXEC, 3);
	steer->prog_fd[index] = fcntl(bpf_program__fd(skel->progs.steer), F_DUPFD_CLOEXEC, 3);
	if (steer->socks_fd[index] < 0 || steer->prog_fd[index] < 0)
		return error_set(err, -errno, "can't keep a BPF program: %s", strerror(errno));
	snprintf(name, sizeof(name), "socks%u", index);
	r = steer_pin(steer->socks_fd[index], pins, name, err);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "steer%u", index);
	return steer_pin(steer->prog_fd[index], pins, name, err);
}

/* Loads the program with the service's maps, as far as they exist; or only makes the maps. */
static int steer_load(const struct steer *steer, bool program, uint32_t max_conns,
                      struct steer_bpf **ret, struct error *err)
{
	_cleanup_(steer_cleanup_skel) struct steer_bpf *skel = steer_bpf__open();
	int r;

	if (!skel)
		return error_set(err, -errno, "can't open the steering program: %s",
		                 strerror(errno));
	bpf_program__set_autoload(skel->progs.steer, program);
	r = steer_share_maps(steer, skel);
	if (r == 0)
		r = steer_size_conns(steer, skel, max_conns);
	if (r == 0)
		r = steer_bpf__load(skel);
	if (r < 0)
		return error_set(err, r,
		                 "the kernel refused the steering program: %s\n"
		                 "`reuseportd doctor` tells what it lacks",
		                 strerror(-r));
	*ret = TAKE_PTR(skel);
	return 0;
}

int steer_make(struct steer *steer, const struct pins *pins, uint32_t max_conns, struct error *err)
{
	_cleanup_(steer_cleanup_skel) struct steer_bpf *skel = NULL;
	int r = steer_load(steer, false, max_conns, &skel, err);

	return r < 0 ? r : steer_adopt_maps(steer, pins, skel, err);
}

static void steer_remove_endpoint_pins(const struct pins *pins, unsigned int index)
{
	char name[16], path[PATH_MAX];

	snprintf(name, sizeof(name), "socks%u", index);
	unlink(pins_path(pins, name, path));
	snprintf(name, sizeof(name), "steer%u", index);
	unlink(pins_path(pins, name, path));
}

void steer_remove_half_made(const struct steer *steer, const struct pins *pins)
{
	if (steer->service->n_endpoints < RPD_ENDPOINT_MAX)
		steer_remove_endpoint_pins(pins, steer->service->n_endpoints);
}

/* Of a service that is killed before it has the endpoint, connections of the port are looked at in
 * vain. */
static int steer_note_port(const struct steer *steer, uint16_t port)
{
	struct rpd_ports ports;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(steer->map_fd[STEER_PORTS], &zero, &ports) < 0)
		return -errno;
	ports.has[port / 64] |= 1ull << port % 64;
	return bpf_map_update_elem(steer->map_fd[STEER_PORTS], &zero, &ports, BPF_ANY) < 0 ? -errno
	                                                                                   : 0;
}

int steer_add_endpoint(struct steer *steer, const struct pins *pins,
                       const struct rpd_endpoint *endpoint, uint32_t max_conns, struct error *err)
{
	_cleanup_(steer_cleanup_skel) struct steer_bpf *skel = NULL;
	unsigned int index;
	int r = steer->service ? 0 : steer_make(steer, pins, max_conns, err);

	if (r < 0)
		return r;
	index = steer->service->n_endpoints;
	if (index >= RPD_ENDPOINT_MAX)
		return error_set(err, -ENOSPC, "a service has at most %d endpoints",
		                 RPD_ENDPOINT_MAX);
	r = steer_load(steer, true, max_conns, &skel, err);
	if (r == 0)
		r = steer_adopt_endpoint(steer, pins, skel, index, err);
	if (r == 0 && steer_note_port(steer, endpoint->port) < 0)
		r = error_set(err, -EIO, "can't note port %u", endpoint->port);
	if (r < 0) {
		cleanup_close(&steer->socks_fd[index]);
		cleanup_close(&steer->prog_fd[index]);
		steer_remove_endpoint_pins(pins, index);
		return r;
	}
	steer->service->endpoints[index] = *endpoint;
	__atomic_store_n(&steer->service->n_endpoints, index + 1, __ATOMIC_RELEASE);
	return index;
}

/* Its port stays noted: that is only about what is looked at. */
void steer_remove_endpoint(struct steer *steer, const struct pins *pins)
{
	unsigned int index = steer->service->n_endpoints - 1;

	__atomic_store_n(&steer->service->n_endpoints, index, __ATOMIC_RELEASE);
	cleanup_close(&steer->socks_fd[index]);
	cleanup_close(&steer->prog_fd[index]);
	steer->socks_fd[index] = steer->prog_fd[index] = -1;
	steer_remove_endpoint_pins(pins, index);
}

/* Opens one pin; -EMEDIUMTYPE if it isn't there. */
static int steer_open_pin(const char *path, int *ret, struct error *err)
{
	*ret = bpf_obj_get(path);
	if (*ret >= 0)
		return 0;
	if (errno == ENOENT)
		return error_set(err, -EMEDIUMTYPE, "%s is missing", path);
	/* Not ours to open, or not now, which says nothing of what it is. */
	if (errno == EPERM || errno == EACCES || errno == EROFS || errno == EMFILE ||
	    errno == ENFILE || errno == ENOMEM)
		return error_set(err, -errno, "can't open %s: %s", path, strerror(errno));
	return error_set(err, -EMEDIUMTYPE, "can't open %s: %s", path, strerror(errno));
}

/* Opens one pinned map and sees that it is what it must be. */
static int steer_open_map(const struct pins *pins, const struct map_kind *kind, int *ret,
                          struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	char path[PATH_MAX];
	int r = steer_open_pin(pins_path(pins, kind->name, path), &fd, err);

	if (r < 0)
		return r;
	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0 || info.type != kind->type ||
	    (kind->value_size && info.value_size != kind->value_size) ||
	    (kind->max_entries && info.max_entries != kind->max_entries))
		return error_set(err, -EMEDIUMTYPE, "%s is not a map of reuseportd", path);
	*ret = TAKE_FD(fd);
	return 0;
}

/* Of a map's info, for which the kernel doesn't fill this struct as far as the name. */
static bool steer_is_steering_program(int fd)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
	       info.type == BPF_PROG_TYPE_SK_REUSEPORT && !strcmp(info.name, "steer");
}

static int steer_open_array(struct steer *steer, const struct pins *pins, unsigned int index,
                            struct error *err)
{
	char name[16];
	const struct map_kind kind = {name, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, sizeof(uint64_t),
	                              RPD_SOCKS_MAX};

	snprintf(name, sizeof(name), "socks%u", index);
	return steer_open_map(pins, &kind, &steer->socks_fd[index], err);
}

static int steer_open_endpoint(struct steer *steer, const struct pins *pins, unsigned int index,
                               struct error *err)
{
	_cleanup_close_ int fd = -1;
	char name[16], path[PATH_MAX];
	int r = steer_open_array(steer, pins, index, err);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "steer%u", index);
	r = steer_open_pin(pins_path(pins, name, path), &fd, err);
	if (r < 0)
		return r;
	if (!steer_is_steering_program(fd))
		return error_set(err, -EMEDIUMTYPE, "%s is not a program of reuseportd", path);
	steer->prog_fd[index] = TAKE_FD(fd);
	return 0;
}

/* Whether the first map is of our layout; in another one it may have another size as well. */
static int steer_check_layout(const struct steer *steer, const struct pins *pins, struct error *err)
{
	int fd = steer->map_fd[STEER_SERVICE], zero = 0;
	_cleanup_free_ struct rpd_service *value = NULL;
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
		value = calloc(1, sizeof(*value) + info.value_size);
	if (!value || bpf_map_lookup_elem(fd, &zero, value) < 0)
		return error_set(err, -errno, "can't read %s/%s: %s", pins->path, STEER_FIRST_PIN,
		                 strerror(errno));
	if (value->magic == RPD_MAGIC && value->abi != RPD_ABI_VERSION)
		return error_set(err, -EPROTO,
		                 "service '%s' was made by another version of reuseportd (its "
		                 "layout is %u, this one's is %d): use that version to detach it",
		                 pins->service, value->abi, RPD_ABI_VERSION);
	if (value->magic != RPD_MAGIC || info.value_size != sizeof(*value) ||
	    value->n_endpoints > RPD_ENDPOINT_MAX)
		return error_set(err, -EMEDIUMTYPE, "%s/%s is not a map of reuseportd", pins->path,
		                 STEER_FIRST_PIN);
	return 0;
}

static int steer_open_service(struct steer *steer, const struct pins *pins, struct error *err)
{
	struct map_kind kind = map_kinds[STEER_SERVICE];
	int r;

	kind.value_size = 0;
	r = steer_open_map(pins, &kind, &steer->map_fd[STEER_SERVICE], err);
	if (r == 0)
		r = steer_check_layout(steer, pins, err);
	if (r == 0)
		r = steer_map_memory(steer->map_fd[STEER_SERVICE], sizeof(*steer->service),
		                     (void **)&steer->service, err);
	return r;
}

static int steer_check_schedule(const struct steer *steer, const struct pins *pins,
                                struct error *err)
{
	const struct rpd_schedule *s = steer_schedule(steer);

	if (s->n_slots <= RPD_SLOT_MAX && s->ring_len <= RPD_RING_MAX)
		return 0;
	return error_set(err, -EMEDIUMTYPE, "what %s/%s holds is no schedule", pins->path,
	                 map_kinds[STEER_SCHEDULES].name);
}

int steer_open(struct steer *steer, const struct pins *pins, struct error *err)
{
	int r = steer_open_service(steer, pins, err);

	for (unsigned int i = 0; i < STEER_MAP_MAX && r == 0; i++)
		if (i != STEER_SERVICE)
			r = steer_open_map(pins, &map_kinds[i], &steer->map_fd[i], err);
	if (r == 0)
		r = steer_map_memories(steer, err);
	if (r == 0)
		r = steer_check_schedule(steer, pins, err);
	for (unsigned int i = 0; r == 0 && i < steer->service->n_endpoints; i++)
		r = steer_open_endpoint(steer, pins, i, err);
	return r;
}

void steer_open_arrays(struct steer *steer, const struct pins *pins)
{
	struct error ignored;

	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++)
		if (steer->socks_fd[i] < 0)
			steer_open_array(steer, pins, i, &ignored);
}

bool steer_is_pin(const char *name)
{
	unsigned int index;

	for (unsigned int i = 0; i < STEER_MAP_MAX; i++)
		if (!strcmp(name, map_kinds[i].name))
			return true;
	return sscanf(name, "socks%u", &index) == 1 || sscanf(name, "steer%u", &index) == 1;
}

const struct rpd_schedule *steer_schedule(const struct steer *steer)
{
	return &steer->schedules[steer->control->active & 1];
}

void steer_switch(struct steer *steer, const struct rpd_schedule *draft)
{
	uint32_t next = !(steer->control->active & 1);

	steer->schedules[next] = *draft;
	__atomic_store_n(&steer->control->active, next, __ATOMIC_RELEASE);
}

int steer_attach(const struct steer *steer, unsigned int endpoint, int fd)
{
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &steer->prog_fd[endpoint],
	                  sizeof(int)) < 0
	               ? -errno
	               : 0;
}

int steer_detach(int fd)
{
	int unused = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused)) < 0 &&
	    errno != ENOENT)
		return -errno;
	return 0;
}
