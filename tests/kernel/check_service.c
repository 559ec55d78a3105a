/* SPDX-License-Identifier: BSD-2-Clause */
/* service/service_create, service_endpoint, slot_replace, generation and observe: a service of
 * `run` is made without workers, endpoints are added one by one, and workers are admitted,
 * replaced, removed and restored. While its supervisor lives, no other command changes that. */
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
#include "check/check.h"
#include "core/schedule.h"
#include "core/schedule_version.h"
#include "kern/conns.h"
#include "kern/proc.h"
#include "kern/steer_members.h"
#include "kern/steer_probes.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/attach.h"
#include "service/detach.h"
#include "service/doctor_service.h"
#include "service/generation.h"
#include "service/observe.h"
#include "service/service_supervisor.h"
#include "service/slot_replace.h"
#include "service/swap.h"
#include "service/watch.h"
#include "service/worker_stats.h"
#include "view/list_view.h"
#include "view/status_view.h"

static void look(struct observed *ret)
{
	struct error err;

	CHECK_MSG(observe(&run_service, OBSERVE_KNOWN, ret, &err) >= 0, "%s", err.text);
}

static uint64_t slot_cookie(unsigned int e, unsigned int slot)
{
	return steer_socks_cookie(&run_service.steer, e, slot);
}

/* What `status` shows of the service; the caller frees both. */
static struct json_object *show(char **ret_text)
{
	_cleanup_observed_ struct observed o = {};
	_cleanup_service_stats_ struct service_stats load = {};
	struct json_object *view;
	struct error err;
	size_t size;
	FILE *out = open_memstream(ret_text, &size);

	look(&o);
	CHECK_EQ(observe_foreign(&o, &err), 0);
	CHECK_EQ(worker_stats_take(&run_service, &o, &load, &err), 0);
	CHECK(out);
	CHECK_EQ(status_view_new(&run_service, &o, &load, WORKER_VIEW_FULL, &view, &err), 0);
	status_view_print(out, view);
	fclose(out);
	return view;
}

static const char *state_of(struct json_object *view, unsigned int slot)
{
	struct json_object *workers = json_object_object_get(view, "workers");

	CHECK_EQ(json_object_array_length(workers), RUN_SERVICE_SLOTS);
	return json_object_get_string(
	        json_object_object_get(json_object_array_get_idx(workers, slot), "state"));
}

static void service_without_workers(void)
{
	struct json_object *view, *list = list_view_new();
	_cleanup_observed_ struct observed o = {};
	struct doctor_checks checks = {};
	struct error err;
	char *text;

	run_service_begin();
	run_service_reopen();
	view = show(&text);
	CHECK(strstr(text, "run by pid") && strstr(text, "endpoints none yet"));
	for (unsigned int slot = 0; slot < RUN_SERVICE_SLOTS; slot++)
		CHECK(!strcmp(state_of(view, slot), "empty"));
	CHECK(json_object_get_boolean(json_object_object_get(view, "run")));
	CHECK_EQ(json_object_get_int(json_object_object_get(view, "supervisor_pid")), getpid());
	json_object_put(view);
	free(text);
	look(&o);
	list_view_add(list, &run_service, &o);
	CHECK(!json_object_object_get(json_object_array_get_idx(list, 0), "endpoint"));
	json_object_put(list);
	service_close(&run_service);
	CHECK_EQ(doctor_service(RUN_SERVICE_NAME, 0, &checks, &err), 0);
	CHECK(checks.n > 0);
	doctor_checks_free(&checks);
}

static void states_of_a_slot(void)
{
	static const struct {
		enum rpd_run run;
		const char *state;
	} wanted[] = {
	        {RPD_RUN_STARTING, "starting"}, {RPD_RUN_BACKOFF, "restarting"},
	        {RPD_RUN_FAILED, "failed"},     {RPD_RUN_STOPPED, "stopped"},
	        {RPD_RUN_UP, "dead"},
	};
	struct run_worker worker;
	struct rpd_worker row;
	struct json_object *view;
	char *text;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++) {
		CHECK_EQ(steer_workers_set_run(&run_service.steer, 1, wanted[i].run, false, i), 0);
		view = show(&text);
		CHECK(!strcmp(state_of(view, 1),
		              wanted[i].run == RPD_RUN_UP ? "empty" : wanted[i].state));
		json_object_put(view);
		free(text);
	}
	/* A worker that is admitted does not change the run state, nor does one that ends. */
	CHECK_EQ(steer_workers_set_run(&run_service.steer, 1, RPD_RUN_UP, false, 17), 0);
	run_worker_admit(1, &worker);
	CHECK_EQ(steer_workers_get(&run_service.steer, 1, &row), 0);
	CHECK_EQ(row.run, RPD_RUN_UP);
	CHECK_EQ(row.restarts, 17);
	CHECK_EQ(row.pid, worker.pid);
	view = show(&text);
	CHECK(!strcmp(state_of(view, 1), "active"));
	CHECK(strstr(text, "RESTARTS") && strstr(text, "17"));
	json_object_put(view);
	free(text);
	run_worker_kill(worker.pid);
	CHECK_UNTIL(slot_cookie(0, 1) == 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++) {
		CHECK_EQ(steer_workers_set_run(&run_service.steer, 1, wanted[i].run, false, 18), 0);
		view = show(&text);
		CHECK(!strcmp(state_of(view, 1), wanted[i].state));
		json_object_put(view);
		free(text);
	}
}

/* Leaves a pin of an endpoint, as a supervisor does that is killed while it adds the endpoint. */
static void leave_pin(const char *name)
{
	char path[PATH_MAX];

	CHECK_EQ(bpf_obj_pin(run_service.steer.map_fd[STEER_MEMBERS],
	                     pins_path(&run_service.pins, name, path)),
	         0);
}

static void half_made_endpoint(void)
{
	struct run_worker worker;
	char path[PATH_MAX];

	run_service_begin();
	for (unsigned int n = 0; n < 3; n++) {
		char socks[16], steer[16];

		snprintf(socks, sizeof(socks), "socks%u", n);
		snprintf(steer, sizeof(steer), "steer%u", n);
		leave_pin(socks);
		if (n != 1)
			leave_pin(steer);
		run_service_reopen();
		CHECK_EQ(run_service.steer.service->n_endpoints, n);
		CHECK(access(pins_path(&run_service.pins, socks, path), F_OK) < 0);
		CHECK_EQ(run_service_add(AF_INET, false, RUN_SERVICE_PORT + n, 0), n);
		run_service_reopen();
		CHECK_EQ(run_service.steer.service->n_endpoints, n + 1);
		CHECK(access(pins_path(&run_service.pins, socks, path), F_OK) == 0);
	}
	run_worker_admit(0, &worker);
	for (unsigned int n = 0; n < 3; n++)
		CHECK_EQ(run_client_visit(n), worker.pid);
}

/* A new endpoint changes nothing for the others while they are served. */
static void endpoint_added_later(void)
{
	struct run_worker first, second;
	_cleanup_observed_ struct observed o = {};
	struct error err;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_worker_admit(0, &first);
	CHECK_EQ(run_client_visit(0), first.pid);
	run_service_add(AF_INET6, false, RUN_SERVICE_PORT + 1, 0);
	CHECK_EQ(run_client_visit(0), first.pid);
	CHECK_EQ(-run_client_connect(run_service_endpoint(1)), ECONNREFUSED);
	run_worker_start(3, &second);
	look(&o);
	CHECK_EQ(o.n_listeners, 3);
	CHECK_EQ(o.n_foreign, 2);
	CHECK_EQ(slot_replace_worker(&run_service, 0, &second.newcomer, NULL, "test", &err), 0);
	CHECK_EQ(run_client_visit(0), second.pid);
	CHECK_EQ(run_client_visit(1), second.pid);
}

static uint16_t account_of(unsigned int slot)
{
	struct rpd_worker row;

	CHECK_EQ(steer_workers_get(&run_service.steer, slot, &row), 0);
	return row.account;
}

static unsigned int count_former(void)
{
	_cleanup_observed_ struct observed o = {};
	unsigned int n = 0;

	look(&o);
	for (size_t i = 0; i < o.n_foreign; i++)
		n += o.foreign[i].former;
	return n;
}

/* A worker with fewer endpoints replaces a live one, which is then restored, as by a reload that
 * fails. Each has its own account, and the restored worker has its old one. */
static void worker_replaced_and_restored(void)
{
	struct run_worker old, next;
	uint64_t cookie, held = 0;
	uint16_t old_account;
	struct error err;
	int client;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_service_add(AF_INET, false, RUN_SERVICE_PORT + 1, 0);
	run_worker_admit(2, &old);
	client = run_client_connect(run_service_endpoint(0));
	CHECK(client >= 0);
	old_account = account_of(2);
	cookie = slot_cookie(1, 2);
	CHECK(cookie != 0);
	run_worker_start(1, &next);
	CHECK_EQ(slot_replace_worker(&run_service, 2, &next.newcomer, "v2", "test", &err), 0);
	CHECK_EQ(slot_cookie(0, 2), next.listeners[0].cookie);
	CHECK_EQ(slot_cookie(1, 2), 0);
	CHECK_EQ(count_former(), 2);
	CHECK_EQ(run_client_visit(0), next.pid);
	CHECK(account_of(2) != old_account);
	CHECK(generation_open_connections(&run_service, old_account, &held));
	CHECK_EQ(held, 1);
	run_service_reopen();
	CHECK_EQ(slot_replace_worker(&run_service, 2, &old.newcomer, "v1", "test", &err), 0);
	CHECK_EQ(account_of(2), old_account);
	CHECK_EQ(slot_cookie(1, 2), cookie);
	CHECK_EQ(count_former(), 1);
	run_client_send(client, 3);
	CHECK_EQ(run_client_answer(client, NULL), 3);
	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(run_client_visit(i % 2), old.pid);
	run_worker_kill(next.pid);
	CHECK_EQ(count_former(), 0);
}

/* The supervisor was killed after it wrote the row, and before it removed the worker's listener:
 * observe() removes it. */
static void killed_between_row_and_listener(void)
{
	_cleanup_observed_ struct observed o = {};
	struct run_worker worker;
	struct rpd_worker row;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_service_add(AF_INET, false, RUN_SERVICE_PORT + 1, 0);
	run_worker_admit(0, &worker);
	CHECK_EQ(steer_workers_get(&run_service.steer, 0, &row), 0);
	row.cookies[1] = 0;
	CHECK_EQ(steer_workers_set(&run_service.steer, 0, &row), 0);
	CHECK(slot_cookie(1, 0) != 0);
	look(&o);
	CHECK_EQ(slot_cookie(1, 0), 0);
	CHECK_EQ(o.slots[0].worker->cookies[1], 0);
	CHECK_EQ(slot_cookie(0, 0), worker.listeners[0].cookie);
}

/* A newcomer that can't be admitted changes nothing. */
static void refused_newcomer_changes_nothing(void)
{
	struct run_worker workers[2];
	struct error err;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_service_add(AF_INET, false, RUN_SERVICE_PORT + 1, 0);
	run_worker_admit(0, &workers[0]);
	run_worker_start(3, &workers[1]);
	/* Its second listener is of another process. */
	workers[1].newcomer.listeners[1] = &workers[0].listeners[1];
	CHECK(slot_replace_worker(&run_service, 0, &workers[1].newcomer, "v9", "test", &err) < 0);
	for (unsigned int e = 0; e < 2; e++) {
		CHECK_EQ(slot_cookie(e, 0), workers[0].listeners[e].cookie);
		CHECK_EQ(run_client_visit(e), workers[0].pid);
	}
	/* A worker that is in a slot already. */
	CHECK_EQ(slot_replace_worker(&run_service, 1, &workers[0].newcomer, NULL, "test", &err),
	         -EBUSY);
	CHECK_EQ(slot_cookie(0, 1), 0);
	CHECK_EQ(run_client_visit(0), workers[0].pid);
}

/* The newcomer is put in place, but the next step fails: the map has no room for the other worker's
 * listener. */
static void newcomer_refused_late(void)
{
	const struct rpd_member member = {.slot = 3};
	struct run_worker workers[3];
	struct rpd_worker row;
	struct error err;
	uint64_t next;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_worker_admit(0, &workers[0]);
	run_worker_admit(1, &workers[1]);
	run_worker_start(1, &workers[2]);
	CHECK_EQ(steer_members_remove(&run_service.steer, workers[1].listeners[0].cookie), 0);
	for (next = 1ull << 60; steer_members_set(&run_service.steer, next, &member) == 0;)
		next++;
	CHECK_EQ(steer_members_remove(&run_service.steer, next - 1), 0);
	CHECK(slot_replace_worker(&run_service, 0, &workers[2].newcomer, "v9", "test", &err) < 0);
	CHECK(strstr(err.text, "can't write the versions"));
	CHECK_EQ(slot_cookie(0, 0), workers[0].listeners[0].cookie);
	CHECK_EQ(steer_workers_get(&run_service.steer, 0, &row), 0);
	CHECK_EQ(row.pid, workers[0].pid);
	for (unsigned int i = 0; i < 4; i++)
		CHECK(run_client_visit(0) != workers[2].pid);
	CHECK_EQ(schedule_version_find(steer_schedule(&run_service.steer), "v9"), -1);
}

static void connections_not_counted(void)
{
	uint64_t held, cookie = 1;

	run_service_begin();
	CHECK(!generation_open_connections(&run_service, RPD_ACCOUNT_NONE, &held));
	CHECK(generation_open_connections(&run_service, 0, &held));
	CHECK(generation_handshakes(&run_service, &cookie, 1, &held));
	CHECK_EQ(held, 0);
	conns_close(&run_service.conns);
	CHECK(!generation_open_connections(&run_service, 0, &held));
	groups_close(&run_service.groups);
	CHECK(!generation_handshakes(&run_service, &cookie, 1, &held));
}

static void report_nothing(const char *why)
{
}

/* No other command changes the workers or removes the service while its supervisor lives. */
static void supervised_service_is_left_alone(void)
{
	const struct swap_request request = {.slot = 0, .pid = 1};
	struct attach_request attach_request = {.wanted = {.port = RUN_SERVICE_PORT},
	                                        .label = RPD_FIRST_LABEL,
	                                        .report_waiting = report_nothing};
	_cleanup_observed_ struct observed o = {};
	_cleanup_free_ char *notes = NULL;
	_cleanup_detach_ struct detach_result result = {0};
	struct run_worker workers[2];
	struct service other;
	struct error err;
	pid_t supervisor;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_worker_admit(0, &workers[0]);
	run_worker_admit(1, &workers[1]);
	supervisor = run_service_other_supervisor(false);
	look(&o);
	CHECK_EQ(swap(&run_service, &o, &request, &err), -EPERM);
	CHECK(strstr(err.text, "reuseportd reload"));
	service_close(&run_service);
	CHECK_EQ(watch(RUN_SERVICE_NAME, NULL, NULL, &err), -EPERM);
	CHECK_EQ(detach(RUN_SERVICE_NAME, false, &result, &err), -EBUSY);
	CHECK(strstr(err.text, "reuseportd stop " RUN_SERVICE_NAME));
	CHECK_EQ(detach(RUN_SERVICE_NAME, true, &result, &err), -EBUSY);
	service_init(&other);
	CHECK_EQ(attach(&attach_request, &other, &notes, &err), -EEXIST);
	CHECK(strstr(err.text, "service '" RUN_SERVICE_NAME "'") &&
	      strstr(err.text, "reuseportd stop"));
	service_close(&other);
	attach_request.service = RUN_SERVICE_NAME;
	CHECK_EQ(attach(&attach_request, &other, &notes, &err), -EEXIST);
	service_close(&other);
	CHECK_EQ(run_service_create(&err), -EEXIST);
	CHECK(strstr(err.text, "is run by pid"));
	service_close(&run_service);
	run_worker_kill(supervisor);
	/* Its workers may live. */
	CHECK_EQ(detach(RUN_SERVICE_NAME, false, &result, &err), -EBUSY);
	CHECK(strstr(err.text, "reuseportd stop " RUN_SERVICE_NAME));
	CHECK_EQ(detach(RUN_SERVICE_NAME, true, &result, &err), 0);
	CHECK_EQ(service_open(&run_service, RUN_SERVICE_NAME, &err), -ENOENT);
}

/* A service without workers and supervisor makes room for another of its name. */
static void abandoned_service_makes_room(void)
{
	struct run_worker worker;
	struct error err;
	pid_t supervisor;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	supervisor = run_service_other_supervisor(false);
	CHECK_EQ(service_make_room(&run_service, &err), -EEXIST);
	run_worker_kill(supervisor);
	CHECK_EQ(service_supervisor_pid(&run_service), 0);
	run_worker_admit(0, &worker);
	CHECK_EQ(service_make_room(&run_service, &err), -EEXIST);
	run_worker_kill(worker.pid);
	CHECK_UNTIL(slot_cookie(0, 0) == 0);
	CHECK_EQ(service_make_room(&run_service, &err), 0);
	CHECK_EQ(service_open(&run_service, RUN_SERVICE_NAME, &err), -ENOENT);
}

/* A supervisor that was killed in the middle of a probe. */
static void probes_of_a_killed_supervisor(void)
{
	const struct rpd_probe source = {.family = AF_INET, .port = 1234};
	struct run_worker worker;
	struct error err;
	pid_t supervisor;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	supervisor = run_service_other_supervisor(false);
	run_worker_start(1, &worker);
	{
		_cleanup_close_ int fd = proc_duplicate_fd(worker.pid, worker.newcomer.fds[0],
		                                           worker.listeners[0].inode, &err);

		CHECK_EQ(steer_socks_put(&run_service.steer, 0, RPD_SLOT_PROBE + 3, fd), 0);
	}
	CHECK_EQ(steer_probes_set(&run_service.steer, &source, RPD_SLOT_PROBE + 3), 0);
	run_service_reopen();
	CHECK_EQ(run_service.steer.control->n_probes, 1);
	run_worker_kill(supervisor);
	run_service_reopen();
	CHECK_EQ(run_service.steer.control->n_probes, 0);
	CHECK_EQ(steer_socks_cookie(&run_service.steer, 0, RPD_SLOT_PROBE + 3), 0);
	CHECK_EQ(slot_replace_worker(&run_service, 0, &worker.newcomer, NULL, "test", &err), 0);
	CHECK_EQ(run_client_visit(0), worker.pid);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(service_without_workers),
	        CHECK_CASE(states_of_a_slot),
	        CHECK_CASE(half_made_endpoint),
	        CHECK_CASE(endpoint_added_later),
	        CHECK_CASE(worker_replaced_and_restored),
	        CHECK_CASE(killed_between_row_and_listener),
	        CHECK_CASE(refused_newcomer_changes_nothing),
	        CHECK_CASE(newcomer_refused_late),
	        CHECK_CASE(connections_not_counted),
	        CHECK_CASE(supervised_service_is_left_alone),
	        CHECK_CASE(abandoned_service_makes_room),
	        CHECK_CASE(probes_of_a_killed_supervisor),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
