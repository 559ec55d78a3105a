/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service/service_lock: a service that one process keeps open, while other commands lock it, change
 * it, remove it or are killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "beds/run_service.h"
#include "check/check.h"
#include "core/run_config.h"
#include "kern/steer_setup.h"
#include "service/service_create.h"
#include "service/service_endpoint.h"
#include "service/service_lock.h"
#include "service/service_remove.h"
#include "supervise/plan.h"
#include "supervise/setup.h"
#include "supervise/supervisor_request.h"

static struct service other; /* run_service, opened by another command */

static void close_other(void)
{
	service_close(&other);
}

/* Makes run_service with an endpoint; it is open, and not locked. */
static void begin(void)
{
	service_init(&other);
	run_service_begin();
	check_at_end(close_other);
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	service_unlock(&run_service);
}

/* Adds an endpoint as the other command. */
static void add_to_other(int family, uint16_t port)
{
	const struct rpd_endpoint endpoint = {.family = family, .port = port};
	struct error err;

	CHECK_MSG(service_endpoint_add(&other, &endpoint, &err) >= 0, "%s", err.text);
}

static void create_other(void)
{
	struct error err;

	CHECK_MSG(run_service_create_as(&other, &err) == 0, "%s", err.text);
}

/* Two changes within one tick of the kernel's clock have the same time. */
static void pass_tick(void)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	nanosleep(&pause, NULL);
}

static void open_other(void)
{
	struct error err;

	pass_tick();
	CHECK_MSG(service_open(&other, RUN_SERVICE_NAME, &err) >= 0, "%s", err.text);
}

static void lock(void)
{
	struct service *locked;
	struct error err;

	CHECK_MSG(service_lock(&run_service, &locked, &err) >= 0, "%s", err.text);
	CHECK(locked == &run_service);
}

static bool is_locked(void)
{
	_cleanup_close_ int fd = open(run_service.pins.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

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
	fd = bpf_obj_get(pins_path(&run_service.pins, name, path));
	return fd >= 0 &&
	       bpf_obj_get_info_by_fd(run_service.steer.endpoints[endpoint].prog_fd, &ours,
	                              &size) == 0 &&
	       bpf_obj_get_info_by_fd(fd, &pinned, &size) == 0 && ours.id == pinned.id;
}

static void service_is_kept_open(void)
{
	int fd;

	begin();
	fd = run_service.steer.map_fd[STEER_SERVICE];
	CHECK(service_is_open(&run_service) && !is_locked());
	lock();
	CHECK(is_locked());
	lock();
	service_unlock(&run_service);
	CHECK(is_locked());
	service_unlock(&run_service);
	CHECK(!is_locked());
	open_other(); /* which changes nothing */
	service_close(&other);
	lock();
	CHECK_EQ(run_service.steer.map_fd[STEER_SERVICE], fd);
	CHECK(run_service.reachable);
	service_unlock(&run_service);
}

static void endpoint_added_by_another(void)
{
	begin();
	open_other();
	add_to_other(AF_INET, RUN_SERVICE_PORT + 1);
	service_close(&other);
	lock();
	CHECK_EQ(run_service.steer.service->n_endpoints, 2);
	CHECK(run_service.steer.endpoints[1].socks_fd >= 0 && has_program(0) && has_program(1));
	service_unlock(&run_service);
}

static void endpoint_replaced_by_another(void)
{
	begin();
	open_other();
	steer_setup_remove_endpoint(&other.steer, &other.pins, 0);
	add_to_other(AF_INET, RUN_SERVICE_PORT + 1);
	service_close(&other);
	CHECK(!has_program(0));
	lock();
	CHECK(has_program(0));
	service_unlock(&run_service);
}

/* An endpoint that this process adds is open at once; an earlier change of another process is seen
 * as well. */
static void own_endpoint_beside_another(void)
{
	int fd;

	begin();
	open_other();
	add_to_other(AF_INET, RUN_SERVICE_PORT + 1);
	service_close(&other);
	lock();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT + 2, 0);
	service_unlock(&run_service);
	fd = run_service.steer.map_fd[STEER_SERVICE];
	pass_tick();
	lock();
	CHECK_EQ(run_service.steer.map_fd[STEER_SERVICE], fd);
	CHECK(has_program(0) && has_program(1) && has_program(2));
	service_unlock(&run_service);
}

/* A command that is killed has pinned the socket array of an endpoint that is not in the service.
 */
static void command_killed_half_way(void)
{
	char path[PATH_MAX];

	begin();
	open_other();
	CHECK_EQ(bpf_obj_pin(other.steer.endpoints[0].socks_fd,
	                     pins_path(&other.pins, "socks1", path)),
	         0);
	service_close(&other);
	CHECK_EQ(access(path, F_OK), 0);
	lock();
	CHECK(access(path, F_OK) < 0);
	CHECK_EQ(run_service.steer.service->n_endpoints, 1);
	service_unlock(&run_service);
}

static void service_removed(void)
{
	struct service *locked;
	struct error err = {};

	begin();
	open_other();
	CHECK_EQ(service_remove(&other, true, NULL, &err), 0);
	service_close(&other);
	CHECK(service_lock(&run_service, &locked, &err) < 0);
	CHECK(!locked && !service_is_open(&run_service) && err.text[0]);
	CHECK(service_lock(&run_service, &locked, &err) < 0);
	/* Another service of the name is opened in its place. */
	create_other();
	service_close(&other);
	lock();
	CHECK_EQ(run_service.steer.service->n_endpoints, 0);
	CHECK(is_locked());
	service_unlock(&run_service);
}

static void service_replaced(void)
{
	struct error err;

	begin();
	open_other();
	CHECK_EQ(service_remove(&other, true, NULL, &err), 0);
	service_close(&other);
	create_other();
	add_to_other(AF_INET6, RUN_SERVICE_PORT);
	service_close(&other);
	lock();
	CHECK_EQ(run_service.steer.service->endpoints[0].family, AF_INET6);
	CHECK(has_program(0));
	service_unlock(&run_service);
}

/* By hand, without the lock: the supervisor, which has all of it open, pins it again. */
static void pin_removed_by_hand(void)
{
	char path[PATH_MAX];

	begin();
	pass_tick();
	CHECK_EQ(unlink(pins_path(&run_service.pins, "workers", path)), 0);
	lock();
	CHECK_EQ(access(path, F_OK), 0);
	service_unlock(&run_service);
	open_other();
	service_close(&other);
}

/* Another process than the supervisor does not, and says what is missing. */
static void pin_removed_beside_a_command(void)
{
	struct service *locked;
	char path[PATH_MAX];
	struct error err = {};

	begin();
	pass_tick();
	run_service.steer.service->supervisor_pid = 1;
	CHECK_EQ(unlink(pins_path(&run_service.pins, "workers", path)), 0);
	CHECK(service_lock(&run_service, &locked, &err) < 0);
	CHECK(strstr(err.text, "workers is missing") != NULL);
	CHECK(!is_locked());
}

/* A lock that another command has is not waited for, if the process has no patience. */
static void busy_lock_is_tried(void)
{
	struct service *locked;
	struct error err = {};
	int r;

	begin();
	open_other();
	pins_set_waiting(pins_never_wait, 0);
	CHECK_EQ(service_lock_try(&run_service, &err), SERVICE_LOCKED);
	CHECK(strstr(err.text, "is locked by another command") != NULL);
	CHECK(service_lock(&run_service, &locked, &err) < 0 && !locked);
	CHECK_EQ(run_service_create(&err), SERVICE_CREATE_LATER);
	service_close(&other);
	r = service_lock_try(&run_service, &err);
	pins_set_waiting(NULL, PINS_PATIENCE_MS);
	CHECK_EQ(r, SERVICE_OPEN);
	CHECK(is_locked());
	service_unlock(&run_service);
	CHECK(!is_locked());
}

/* A supervisor that may not have the name gives the lock back at once: it may go on for some time
 * to end its other services. */
static void name_refused(void)
{
	const struct supervisor_request request = {};
	struct supervisor sup = {.name = RUN_SERVICE_NAME, .cgroup_fd = -1, .request = &request};
	struct run_config config;
	struct error err = {};
	bool refused, locked;

	begin();
	run_service_other_supervisor(false);
	service_unlock(&run_service);
	run_config_init(&config);
	config.workers = RUN_SERVICE_SLOTS;
	sup.plan = plan_new(&config);
	service_init(&sup.service);
	parking_init(&sup.parking);
	refused = setup_make(&sup, &err) < 0 && strstr(err.text, "is run by pid");
	locked = is_locked();
	service_close(&sup.service);
	plan_unref(sup.plan);
	run_config_free(&config);
	CHECK_MSG(refused, "%s", err.text);
	CHECK(!sup.made && !locked);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(service_is_kept_open),
	        CHECK_CASE(endpoint_added_by_another),
	        CHECK_CASE(endpoint_replaced_by_another),
	        CHECK_CASE(own_endpoint_beside_another),
	        CHECK_CASE(command_killed_half_way),
	        CHECK_CASE(service_removed),
	        CHECK_CASE(service_replaced),
	        CHECK_CASE(pin_removed_by_hand),
	        CHECK_CASE(pin_removed_beside_a_command),
	        CHECK_CASE(busy_lock_is_tried),
	        CHECK_CASE(name_refused),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
