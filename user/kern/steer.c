/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <reuseportd/cell.h>
#include <reuseportd/guard_abi.h>

#include "base/cleanup.h"
#include "kern/steer_maps.h"

void steer_init(struct steer *steer)
{
	memset(steer, 0, sizeof(*steer));
	memset(steer->map_fd, -1, sizeof(steer->map_fd));
	steer->mark_fd = -1;
	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++)
		steer->endpoints[i] = STEER_MAPS_NO_ENDPOINT;
	steer->spare = STEER_MAPS_NO_ENDPOINT;
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
	cleanup_close(&steer->mark_fd);
	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++)
		steer_maps_close_endpoint(&steer->endpoints[i]);
	steer_maps_close_endpoint(&steer->spare);
	steer_init(steer);
}

/* Opens one pin; STEER_DAMAGED if it doesn't exist. */
static int steer_open_pin(const char *path, int *ret, struct error *err)
{
	*ret = bpf_obj_get(path);
	if (*ret >= 0)
		return 0;
	if (errno == ENOENT)
		return error_set(err, STEER_DAMAGED, "%s is missing", path);
	/* We may not open it, or not now: that says nothing about what it is. */
	if (errno == EPERM || errno == EACCES || errno == EROFS || errno == EMFILE ||
	    errno == ENFILE || errno == ENOMEM)
		return error_set(err, -errno, "can't open %s: %s", path, pins_why(errno));
	return error_set(err, STEER_DAMAGED, "can't open %s: %s", path, strerror(errno));
}

/* Opens one pinned map and checks its shape. */
static int steer_open_map(const struct pins *pins, const struct steer_map_kind *kind, int *ret,
                          struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	char path[PATH_MAX];
	int r = steer_open_pin(pins_path(pins, kind->name, path), &fd, err);

	if (r)
		return r;
	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0 || info.type != kind->type ||
	    (kind->value_size && info.value_size != kind->value_size) ||
	    (kind->max_entries && info.max_entries != kind->max_entries))
		return error_set(err, STEER_DAMAGED, "%s is not a map of reuseportd", path);
	*ret = TAKE_FD(fd);
	return 0;
}

/* False also for a map: the kernel then doesn't fill the struct as far as the name. */
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
	char name[STEER_MAPS_PIN_MAX];
	const struct steer_map_kind kind = {steer_maps_pin_name(STEER_SOCKS, index, name),
	                                    BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, sizeof(uint64_t),
	                                    RPD_SOCKS_MAX};

	return steer_open_map(pins, &kind, &steer->endpoints[index].socks_fd, err);
}

static int steer_open_queues(struct steer *steer, const struct pins *pins, unsigned int index,
                             struct error *err)
{
	char name[STEER_MAPS_PIN_MAX];
	const struct steer_map_kind kind = {steer_maps_pin_name(STEER_QUEUES, index, name),
	                                    BPF_MAP_TYPE_ARRAY, sizeof(struct rpd_queue),
	                                    RPD_SLOT_MAX};

	return steer_open_map(pins, &kind, &steer->endpoints[index].queues_fd, err);
}

static int steer_open_endpoint(struct steer *steer, const struct pins *pins, unsigned int index,
                               struct error *err)
{
	_cleanup_close_ int fd = -1;
	char name[STEER_MAPS_PIN_MAX], path[PATH_MAX];
	int r = steer_open_array(steer, pins, index, err);

	if (r == 0)
		r = steer_open_queues(steer, pins, index, err);
	if (r)
		return r;
	pins_path(pins, steer_maps_pin_name(STEER_PROGRAM, index, name), path);
	r = steer_open_pin(path, &fd, err);
	if (r)
		return r;
	if (!steer_is_steering_program(fd))
		return error_set(err, STEER_DAMAGED, "%s is not a program of reuseportd", path);
	steer->endpoints[index].prog_fd = TAKE_FD(fd);
	return 0;
}

/* Checks that the service has our layout; with another layout the map may have another size, too.
 */
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
		                 "service '%s' was made by another version of reuseportd (layout "
		                 "%u, this version has %d): detach it with that version",
		                 pins->service, value->abi, RPD_ABI_VERSION);
	if (value->magic != RPD_MAGIC || info.value_size != sizeof(*value) ||
	    value->n_endpoints > RPD_ENDPOINT_MAX)
		return error_set(err, STEER_DAMAGED, "%s/%s is not a map of reuseportd", pins->path,
		                 STEER_FIRST_PIN);
	return 0;
}

int steer_open_service(struct steer *steer, const struct pins *pins, struct error *err)
{
	struct steer_map_kind kind = *steer_maps_kind(STEER_SERVICE);
	int r;

	kind.value_size = 0;
	r = steer_open_map(pins, &kind, &steer->map_fd[STEER_SERVICE], err);
	if (r == 0)
		r = steer_check_layout(steer, pins, err);
	if (r == 0)
		r = steer_maps_mmap(steer->map_fd[STEER_SERVICE], sizeof(*steer->service),
		                    (void **)&steer->service, err);
	return r;
}

static int steer_check_schedule(const struct steer *steer, const struct pins *pins,
                                struct error *err)
{
	const struct rpd_schedule *s = steer_schedule(steer);

	if (s->n_slots <= RPD_SLOT_MAX && s->ring_len <= RPD_RING_MAX)
		return 0;
	return error_set(err, STEER_DAMAGED, "%s/%s does not contain a schedule", pins->path,
	                 steer_maps_kind(STEER_SCHEDULES)->name);
}

int steer_open_pins(struct steer *steer, const struct pins *pins, struct error *err)
{
	int r = steer_open_service(steer, pins, err);

	for (unsigned int i = 0; i < STEER_MAP_MAX && r == 0; i++)
		if (i != STEER_SERVICE)
			r = steer_open_map(pins, steer_maps_kind(i), &steer->map_fd[i], err);
	if (r == 0)
		r = steer_maps_mmap_all(steer, err);
	if (r == 0)
		r = steer_check_schedule(steer, pins, err);
	for (unsigned int i = 0; r == 0 && i < steer->service->n_endpoints; i++) {
		if (!steer_has_endpoint(steer, i))
			continue;
		r = steer_open_endpoint(steer, pins, i, err);
		if (r == STEER_DAMAGED && !steer_has_endpoint(steer, i))
			r = 0; /* removed meanwhile: the caller may not have the lock */
	}
	return r;
}

bool steer_has_endpoint(const struct steer *steer, unsigned int index)
{
	return index < steer->service->n_endpoints &&
	       __atomic_load_n(&steer->service->endpoints[index].family, __ATOMIC_ACQUIRE) != 0;
}

unsigned int steer_count_endpoints(const struct steer *steer)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < steer->service->n_endpoints; i++)
		n += steer_has_endpoint(steer, i);
	return n;
}

void steer_open_arrays(struct steer *steer, const struct pins *pins)
{
	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++) {
		char name[STEER_MAPS_PIN_MAX], path[PATH_MAX];

		pins_path(pins, steer_maps_pin_name(STEER_SOCKS, i, name), path);
		if (steer->endpoints[i].socks_fd < 0 && access(path, F_OK) == 0)
			steer_open_array(steer, pins, i, NULL);
	}
}

bool steer_is_pin(const char *name)
{
	for (unsigned int i = 0; i < STEER_MAP_MAX; i++)
		if (!strcmp(name, steer_maps_kind(i)->name))
			return true;
	return steer_maps_is_endpoint_pin(name);
}

const struct rpd_schedule *steer_schedule(const struct steer *steer)
{
	return &steer->schedules[steer->control->active & 1];
}

/* The maps may be missing from a service that is half removed. */
unsigned int steer_cell(const struct steer *steer, unsigned int slot)
{
	static const struct rpd_schedule none;

	return rpd_cell(steer->control && steer->schedules ? steer_schedule(steer) : &none, slot);
}

unsigned int steer_idle_cell(const struct steer *steer, unsigned int slot)
{
	return steer_cell(steer, slot) ^ RPD_SLOT_MAX;
}

void steer_switch(struct steer *steer, const struct rpd_schedule *draft)
{
	uint32_t next = !(steer->control->active & 1);

	steer->schedules[next] = *draft;
	__atomic_store_n(&steer->control->counting_loads, draft->policy == RPD_LEAST_CONNECTIONS,
	                 __ATOMIC_RELEASE);
	__atomic_store_n(&steer->control->active, next, __ATOMIC_RELEASE);
}

/* Sets an option that changes the program of the group. On the cgroup of a service of `run` a
 * program prevents that without the key (guard.bpf.c). */
static int steer_set_with_key(const struct steer *steer, int fd, int option, int program)
{
	const uint64_t key = steer->service ? steer->service->guard_key : 0;
	const struct guard_value value = {(uint32_t)program, {(uint32_t)key, key >> 32}};

	return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/*
 * Without the program on the cgroup the kernel refuses the long value with EINVAL. With it, EINVAL
 * means that the socket is in no group, and the short value would have no effect, though the call
 * would succeed. A descriptor that is none shows which it is: with the program on the cgroup, the
 * value is shortened, and the kernel refuses the descriptor.
 */
int steer_attach(const struct steer *steer, unsigned int endpoint, int fd)
{
	const int program = steer->endpoints[endpoint].prog_fd;
	const int r = steer_set_with_key(steer, fd, GUARD_ATTACH_EBPF, program);

	if (r != -EINVAL || steer_set_with_key(steer, fd, GUARD_ATTACH_EBPF, -1) != -EINVAL)
		return r;
	return setsockopt(fd, SOL_SOCKET, GUARD_ATTACH_EBPF, &program, sizeof(program)) < 0 ? -errno
	                                                                                    : 0;
}

/* Where there is no program on the cgroup, the kernel ignores the key. */
int steer_detach(const struct steer *steer, int fd)
{
	const int r = steer_set_with_key(steer, fd, GUARD_DETACH, 0);

	return r == -ENOENT ? 0 : r;
}
