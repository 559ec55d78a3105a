/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/steer_setup and service/service_endpoint: endpoints of a service of `run` are removed, the
 * last one or another, and new ones take their entries. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "beds/run_client.h"
#include "beds/run_service.h"
#include "beds/run_worker.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "kern/in_force.h"
#include "kern/steer_members.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/observe.h"
#include "service/service_endpoint.h"
#include "service/service_in_force.h"
#include "service/slot_replace.h"
#include "service/worker_stats.h"
#include "view/status_view.h"

static void add(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		CHECK_EQ(run_service_add(AF_INET, false, RUN_SERVICE_PORT + i, 0), i);
}

static void remove_endpoint(unsigned int e)
{
	steer_socks_clear_all(&run_service.steer, e);
	steer_setup_remove_endpoint(&run_service.steer, &run_service.pins, e);
}

static bool is_pinned(const char *kind, unsigned int e)
{
	char name[16], path[PATH_MAX];

	snprintf(name, sizeof(name), "%s%u", kind, e);
	return access(pins_path(&run_service.pins, name, path), F_OK) == 0;
}

/* The text of `status`; the caller frees it. */
static char *show(void)
{
	_cleanup_service_stats_ struct service_stats load = {};
	_cleanup_observed_ struct observed o = {};
	struct json_object *view;
	struct error err;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	CHECK(out);
	CHECK_EQ(observe(&run_service, OBSERVE_KNOWN, &o, &err), 0);
	CHECK_EQ(worker_stats_take(&run_service, &o, &load, &err), 0);
	CHECK_EQ(status_view_new(&run_service, &o, &load, WORKER_VIEW_FULL, &view, &err), 0);
	status_view_print(out, view);
	json_object_put(view);
	fclose(out);
	return text;
}

static void middle_endpoint_removed(void)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct run_worker old, next;
	struct error err;

	run_service_begin();
	add(3);
	run_worker_admit(0, &old);
	remove_endpoint(1);
	CHECK(!steer_has_endpoint(&run_service.steer, 1));
	CHECK(!is_pinned("socks", 1) && !is_pinned("steer", 1));
	CHECK_EQ(run_service.steer.service->n_endpoints, 3);
	CHECK_EQ(steer_count_endpoints(&run_service.steer), 2);
	before = show();
	CHECK(strstr(before, "endpoints 0.0.0.0:8080 0.0.0.0:8082\n"));
	run_service_reopen();
	CHECK_EQ(run_client_visit(0), old.pid);
	CHECK_EQ(run_client_visit(2), old.pid);

	/* The next one takes the entry, and nothing of the former endpoint is left in it. */
	CHECK_EQ(run_service_add(AF_INET, false, RUN_SERVICE_PORT + 9, 0), 1);
	CHECK(is_pinned("socks", 1) && is_pinned("steer", 1));
	after = show();
	CHECK(strstr(after, "endpoints 0.0.0.0:8080 0.0.0.0:8089 0.0.0.0:8082\n"));
	CHECK_EQ(run_client_visit(2), old.pid);
	run_worker_start(7, &next);
	CHECK_EQ(slot_replace_worker(&run_service, 0, &next.newcomer, NULL, "test", &err), 0);
	for (unsigned int e = 0; e < 3; e++)
		CHECK_EQ(run_client_visit(e), next.pid);
	run_service_reopen();
	CHECK_EQ(steer_count_endpoints(&run_service.steer), 3);
}

static void last_endpoint_removed(void)
{
	run_service_begin();
	add(4);
	remove_endpoint(1);
	remove_endpoint(2);
	CHECK_EQ(run_service.steer.service->n_endpoints, 4);
	remove_endpoint(3);
	CHECK_EQ(run_service.steer.service->n_endpoints, 1);
	remove_endpoint(0);
	CHECK_EQ(run_service.steer.service->n_endpoints, 0);
	run_service_reopen();
	CHECK_EQ(run_service_add(AF_INET, false, RUN_SERVICE_PORT + 5, 0), 0);
	CHECK_EQ(steer_count_endpoints(&run_service.steer), 1);
}

/* A listener of the removed endpoint is still open, in its old group, and the row of its worker
 * names it: neither belongs to the endpoint that has the entry now. */
static void former_listener_is_not_the_next_ones(void)
{
	struct run_worker old, next;
	struct rpd_member member;
	struct rpd_worker row;
	struct in_force found;
	struct error err;

	run_service_begin();
	add(2);
	run_worker_admit(0, &old);
	remove_endpoint(1);
	CHECK_EQ(steer_workers_get(&run_service.steer, 0, &row), 0);
	CHECK_EQ(row.cookies[1], 0);
	service_in_force_read(&run_service, &found);
	CHECK_EQ(in_force_find_lost(&found), -1);
	CHECK_EQ(service_in_force_check_listeners(&run_service, &old.listeners[1].cookie, 1, &err),
	         0);
	run_service_add(AF_INET, false, RUN_SERVICE_PORT + 2, 0);
	CHECK_EQ(steer_members_get(&run_service.steer, old.listeners[1].cookie, &member), 0);
	CHECK_EQ(member.endpoint, RPD_NO_ENDPOINT);
	CHECK_EQ(steer_workers_get(&run_service.steer, 0, &row), 0);
	CHECK_EQ(row.cookies[0], old.listeners[0].cookie);
	CHECK_EQ(row.cookies[1], 0);
	service_in_force_read(&run_service, &found);
	CHECK_EQ(in_force_find_lost(&found), -1);
	CHECK_EQ(service_in_force_check_listeners(&run_service, &old.listeners[1].cookie, 1, &err),
	         0);
	run_worker_start(3, &next);
	CHECK_EQ(slot_replace_worker(&run_service, 1, &next.newcomer, NULL, "test", &err), 0);
	service_in_force_read(&run_service, &found);
	CHECK_EQ(found.state[1], IN_FORCE_OURS);
	CHECK_EQ(run_client_visit(1), next.pid);
}

/* Leaves what a supervisor leaves that is killed in the middle of the removal, after @unpinned of
 * the two pins; then opens the service, and adds an endpoint. */
static void kill_removal(unsigned int e, unsigned int unpinned)
{
	static const char *const kinds[] = {"socks", "steer"};

	run_service.steer.service->endpoints[e].family = 0;
	for (unsigned int i = 0; i < unpinned; i++) {
		char name[16], path[PATH_MAX];

		snprintf(name, sizeof(name), "%s%u", kinds[i], e);
		CHECK_EQ(unlink(pins_path(&run_service.pins, name, path)), 0);
	}
	run_service_reopen();
	CHECK(!is_pinned("socks", e) && !is_pinned("steer", e));
	CHECK_EQ(run_service.steer.service->n_endpoints, e == 1 ? 3 : 2);
	CHECK_EQ(run_service_add(AF_INET, false, RUN_SERVICE_PORT + 7, 0), e);
	run_service_reopen();
	CHECK_EQ(steer_count_endpoints(&run_service.steer), 3);
}

static void removal_killed_half_way(void)
{
	run_service_begin();
	add(3);
	for (unsigned int unpinned = 0; unpinned < 3; unpinned++) {
		kill_removal(1, unpinned);
		kill_removal(2, unpinned);
	}
}

/* Adding is killed before the service has the endpoint, which would get a free entry in the middle.
 */
static void addition_killed_half_way(void)
{
	char path[PATH_MAX];

	run_service_begin();
	add(3);
	remove_endpoint(1);
	CHECK_EQ(bpf_obj_pin(run_service.steer.endpoints[0].socks_fd,
	                     pins_path(&run_service.pins, "socks1", path)),
	         0);
	run_service_reopen();
	CHECK(!is_pinned("socks", 1));
	CHECK_EQ(run_service_add(AF_INET, false, RUN_SERVICE_PORT + 7, 0), 1);
}

/* The listeners of many ports are found in one list, which has others as well. */
static void many_ports(void)
{
	struct rpd_endpoint other = {.family = AF_INET, .port = RUN_SERVICE_PORT + 100};
	_cleanup_observed_ struct observed o = {};
	struct run_worker worker;
	struct error err;

	CHECK(socket_bed_listen(&other, 1) >= 0);
	run_service_begin();
	add(6);
	run_worker_admit(2, &worker);
	for (unsigned int e = 0; e < 6; e++)
		CHECK_EQ(run_client_visit(e), worker.pid);
	CHECK_EQ(observe(&run_service, OBSERVE_KNOWN, &o, &err), 0);
	CHECK_EQ(o.n_listeners, 6);
	CHECK_EQ(o.n_foreign, 0);
	CHECK(o.slots[2].live);
}

/* Names all entries, as so many programs would take long to load. */
static void too_many_endpoints(void)
{
	const struct rpd_endpoint one = {.family = AF_INET, .port = 1};
	struct rpd_service *info;
	struct error err = {};

	run_service_begin();
	add(1);
	info = run_service.steer.service;
	for (unsigned int e = 1; e < RPD_ENDPOINT_MAX; e++)
		info->endpoints[e] = (struct rpd_endpoint){.family = AF_INET, .port = 10000 + e};
	info->n_endpoints = RPD_ENDPOINT_MAX;
	CHECK_EQ(service_endpoint_add(&run_service, &one, &err), -ENOSPC);
	CHECK(strstr(err.text, "at most 128 endpoints"));
	info->endpoints[77].family = 0;
	CHECK_EQ(service_endpoint_add(&run_service, &one, &err), 77);
	for (unsigned int e = 1; e < RPD_ENDPOINT_MAX; e++)
		info->endpoints[e].family = 0;
	run_service_reopen();
	CHECK_EQ(run_service.steer.service->n_endpoints, 1);
	CHECK(!is_pinned("socks", 77));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(middle_endpoint_removed),
	        CHECK_CASE(last_endpoint_removed),
	        CHECK_CASE(former_listener_is_not_the_next_ones),
	        CHECK_CASE(removal_killed_half_way),
	        CHECK_CASE(addition_killed_half_way),
	        CHECK_CASE(many_ports),
	        CHECK_CASE(too_many_endpoints),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
