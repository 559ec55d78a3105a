/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service that one process keeps open (service_lock()), while other commands lock it, change it,
 * remove it or are killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "kern/steer_setup.h"
#include "run_bed.h"
#include "service/service_create.h"
#include "service/service_lock.h"
#include "service/service_remove.h"

static struct service service; /* the service that is kept open */
static struct service other;   /* the same, opened by another command */

static void begin(void)
{
	service_close(&other);
	run_begin(&service);
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	service_unlock(&service);
}

/* Two changes within one tick of the kernel have the same time. */
static void pass_tick(void)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	nanosleep(&pause, NULL);
}

static void open_other(void)
{
	struct error err;

	pass_tick();
	if (service_open(&other, RUN_NAME, &err) < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
}

static void lock(void)
{
	struct service *locked;
	struct error err;

	if (service_lock(&service, &locked, &err) < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
	CHECK(locked == &service);
}

static bool is_locked(void)
{
	_cleanup_close_ int fd = open(service.pins.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(fd >= 0);
	return flock(fd, LOCK_EX | LOCK_NB) < 0;
}

/* Whether the descriptor of an endpoint's program is that of its pin. */
static bool has_program(unsigned int endpoint)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX], name[16];
	struct bpf_prog_info ours = {}, pinned = {};
	uint32_t size = sizeof(ours);

	snprintf(name, sizeof(name), "steer%u", endpoint);
	fd = bpf_obj_get(pins_path(&service.pins, name, path));
	return fd >= 0 &&
	       bpf_obj_get_info_by_fd(service.steer.prog_fd[endpoint], &ours, &size) == 0 &&
	       bpf_obj_get_info_by_fd(fd, &pinned, &size) == 0 && ours.id == pinned.id;
}

static void is_kept_open(struct bed *bed)
{
	int fd;

	begin();
	fd = service.steer.map_fd[STEER_SERVICE];
	CHECK(service_is_open(&service) && !is_locked());
	lock();
	CHECK(is_locked());
	lock();
	service_unlock(&service);
	CHECK(is_locked());
	service_unlock(&service);
	CHECK(!is_locked());
	open_other(); /* and changes nothing */
	service_close(&other);
	lock();
	CHECK_EQ(service.steer.map_fd[STEER_SERVICE], fd);
	CHECK(service.reachable);
	service_unlock(&service);
}

static void endpoint_added(struct bed *bed)
{
	begin();
	open_other();
	run_endpoint(&other, AF_INET, false, RUN_PORT + 1, 0);
	service_close(&other);
	lock();
	CHECK_EQ(service.steer.service->n_endpoints, 2);
	CHECK(service.steer.socks_fd[1] >= 0 && has_program(0) && has_program(1));
	service_unlock(&service);
}

static void endpoint_replaced(struct bed *bed)
{
	begin();
	open_other();
	steer_setup_remove_endpoint(&other.steer, &other.pins);
	run_endpoint(&other, AF_INET, false, RUN_PORT + 1, 0);
	service_close(&other);
	CHECK(!has_program(0));
	lock();
	CHECK(has_program(0));
	service_unlock(&service);
}

/* What this process adds itself is open; a change of another one before is seen as well. */
static void own_endpoint(struct bed *bed)
{
	int fd;

	begin();
	open_other();
	run_endpoint(&other, AF_INET, false, RUN_PORT + 1, 0);
	service_close(&other);
	lock();
	run_endpoint(&service, AF_INET, false, RUN_PORT + 2, 0);
	service_unlock(&service);
	fd = service.steer.map_fd[STEER_SERVICE];
	pass_tick();
	lock();
	CHECK_EQ(service.steer.map_fd[STEER_SERVICE], fd);
	CHECK(has_program(0) && has_program(1) && has_program(2));
	service_unlock(&service);
}

/* A command that is killed has pinned the socket array of an endpoint that is not in the service.
 */
static void killed_half_way(struct bed *bed)
{
	char path[PATH_MAX];

	begin();
	open_other();
	CHECK_EQ(bpf_obj_pin(other.steer.socks_fd[0], pins_path(&other.pins, "socks1", path)), 0);
	service_close(&other);
	CHECK_EQ(access(path, F_OK), 0);
	lock();
	CHECK(access(path, F_OK) < 0);
	CHECK_EQ(service.steer.service->n_endpoints, 1);
	service_unlock(&service);
}

static void removed(struct bed *bed)
{
	struct service *locked;
	struct error err = {};

	begin();
	open_other();
	CHECK_EQ(service_remove(&other, true, &err), 0);
	service_close(&other);
	CHECK(service_lock(&service, &locked, &err) < 0);
	CHECK(!locked && !service_is_open(&service) && err.text[0]);
	CHECK(service_lock(&service, &locked, &err) < 0);
	/* Another service of the name is opened in its place. */
	CHECK_EQ(run_create(&other, &err), 0);
	service_close(&other);
	lock();
	CHECK_EQ(service.steer.service->n_endpoints, 0);
	CHECK(is_locked());
	service_unlock(&service);
}

static void replaced(struct bed *bed)
{
	struct error err;

	begin();
	open_other();
	CHECK_EQ(service_remove(&other, true, &err), 0);
	service_close(&other);
	CHECK_EQ(run_create(&other, &err), 0);
	run_endpoint(&other, AF_INET6, false, RUN_PORT, 0);
	service_close(&other);
	lock();
	CHECK_EQ(service.steer.service->endpoints[0].family, AF_INET6);
	CHECK(has_program(0));
	service_unlock(&service);
}

/* By hand, without the lock. */
static void pin_removed(struct bed *bed)
{
	struct service *locked;
	char path[PATH_MAX];
	struct error err = {};

	begin();
	pass_tick();
	CHECK_EQ(unlink(pins_path(&service.pins, "workers", path)), 0);
	CHECK(service_lock(&service, &locked, &err) < 0);
	CHECK(strstr(err.text, "workers is missing") != NULL);
	CHECK(!is_locked());
}

int main(void)
{
	static const struct check_case cases[] = {
	        {"is_kept_open", is_kept_open},
	        {"endpoint_added", endpoint_added},
	        {"endpoint_replaced", endpoint_replaced},
	        {"own_endpoint", own_endpoint},
	        {"killed_half_way", killed_half_way},
	        {"removed", removed},
	        {"replaced", replaced},
	        {"pin_removed", pin_removed},
	};

	service_init(&service);
	service_init(&other);
	return check_run(cases, ARRAY_SIZE(cases));
}
