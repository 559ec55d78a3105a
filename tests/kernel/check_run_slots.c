/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service that is run, and who is in its slots: made before there is anybody, endpoints one by
 * one, workers put in, replaced, taken out and put back, and a supervisor whom nobody may interfere
 * with.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "run_bed.h"
#include "base/cleanup.h"
#include "service/generation.h"
#include "service/attach.h"
#include "service/detach.h"
#include "service/doctor_service.h"
#include "service/worker_stats.h"
#include "service/observe.h"
#include "service/service_supervisor.h"
#include "service/slot_replace.h"
#include "service/swap.h"
#include "service/watch.h"
#include "kern/proc.h"
#include "view/list_view.h"
#include "view/status_view.h"
#include "core/schedule_version.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "kern/steer_probes.h"
#include "kern/steer_members.h"
#include "kern/conns.h"
#include "kern/pins.h"

static struct service service;
static struct parking parking;

static void begin(void)
{
	parking_close(&parking);
	run_begin(&service);
	parking_init(&parking);
}

static void look(struct observed *ret)
{
	struct error err;

	if (observe(&service, OBSERVE_KNOWN, ret, &err) < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
}

static void admit_worker(unsigned int slot, struct run_worker *ret)
{
	run_admit(&service, &parking, slot, ret);
}

static pid_t visit(unsigned int e)
{
	int fd = run_connect(&service.steer.service->endpoints[e]);
	pid_t pid;

	CHECK(fd >= 0);
	run_send(fd, 2);
	CHECK_EQ(run_answer(fd, &pid), 2);
	return pid;
}

static uint64_t slot_cookie(unsigned int e, unsigned int slot)
{
	return steer_socks_cookie(&service.steer, e, slot);
}

/* What the commands show of a service; the caller frees both. */
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
	CHECK_EQ(worker_stats_take(&service, &o, &load, &err), 0);
	CHECK(out);
	CHECK_EQ(status_view_new(&service, &o, &load, &view, &err), 0);
	status_view_print(out, view);
	fclose(out);
	return view;
}

static const char *state_of(struct json_object *view, unsigned int slot)
{
	struct json_object *workers = json_object_object_get(view, "workers");

	CHECK_EQ(json_object_array_length(workers), RUN_SLOTS);
	return json_object_get_string(
	        json_object_object_get(json_object_array_get_idx(workers, slot), "state"));
}

static void nobody_yet(struct bed *bed)
{
	struct json_object *view, *list = list_view_new();
	_cleanup_observed_ struct observed o = {};
	struct doctor_checks checks = {};
	struct error err;
	char *text;

	begin();
	run_reopen(&service);
	view = show(&text);
	CHECK(strstr(text, "run by pid") && strstr(text, "endpoints none yet"));
	for (unsigned int slot = 0; slot < RUN_SLOTS; slot++)
		CHECK(!strcmp(state_of(view, slot), "empty"));
	CHECK(json_object_get_boolean(json_object_object_get(view, "run")));
	CHECK_EQ(json_object_get_int(json_object_object_get(view, "supervisor_pid")), getpid());
	json_object_put(view);
	free(text);
	look(&o);
	list_view_add(list, &service, &o);
	CHECK(!json_object_object_get(json_object_array_get_idx(list, 0), "endpoint"));
	json_object_put(list);
	service_close(&service);
	CHECK_EQ(doctor_service(RUN_NAME, 0, &checks, &err), 0);
	CHECK(checks.n > 0);
	doctor_checks_free(&checks);
}

static void run_states(struct bed *bed)
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

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++) {
		CHECK_EQ(steer_workers_set_run(&service.steer, 1, wanted[i].run, i), 0);
		view = show(&text);
		CHECK(!strcmp(state_of(view, 1),
		              wanted[i].run == RPD_RUN_UP ? "empty" : wanted[i].state));
		json_object_put(view);
		free(text);
	}
	/* Who comes in doesn't change it, nor who goes. */
	CHECK_EQ(steer_workers_set_run(&service.steer, 1, RPD_RUN_UP, 17), 0);
	admit_worker(1, &worker);
	CHECK_EQ(steer_workers_get(&service.steer, 1, &row), 0);
	CHECK_EQ(row.run, RPD_RUN_UP);
	CHECK_EQ(row.restarts, 17);
	CHECK_EQ(row.pid, worker.pid);
	view = show(&text);
	CHECK(!strcmp(state_of(view, 1), "active"));
	CHECK(strstr(text, "RESTARTS") && strstr(text, "17"));
	json_object_put(view);
	free(text);
	run_kill(worker.pid);
	CHECK_COMES(slot_cookie(0, 1) == 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++) {
		CHECK_EQ(steer_workers_set_run(&service.steer, 1, wanted[i].run, 18), 0);
		view = show(&text);
		CHECK(!strcmp(state_of(view, 1), wanted[i].state));
		json_object_put(view);
		free(text);
	}
}

/* A pin that an endpoint will have, as one that was killed while it was added has left it. */
static void leave_pin(const char *name)
{
	char path[PATH_MAX];

	CHECK_EQ(bpf_obj_pin(service.steer.map_fd[STEER_MEMBERS],
	                     pins_path(&service.pins, name, path)),
	         0);
}

static void half_made_endpoint(struct bed *bed)
{
	struct run_worker worker;
	char path[PATH_MAX];

	begin();
	for (unsigned int n = 0; n < 3; n++) {
		char socks[16], steer[16];

		snprintf(socks, sizeof(socks), "socks%u", n);
		snprintf(steer, sizeof(steer), "steer%u", n);
		leave_pin(socks);
		if (n != 1)
			leave_pin(steer);
		run_reopen(&service);
		CHECK_EQ(service.steer.service->n_endpoints, n);
		CHECK(access(pins_path(&service.pins, socks, path), F_OK) < 0);
		CHECK_EQ(run_endpoint(&service, AF_INET, false, RUN_PORT + n, 0), n);
		run_reopen(&service);
		CHECK_EQ(service.steer.service->n_endpoints, n + 1);
		CHECK(access(pins_path(&service.pins, socks, path), F_OK) == 0);
	}
	admit_worker(0, &worker);
	for (unsigned int n = 0; n < 3; n++)
		CHECK_EQ(visit(n), worker.pid);
}

/* Added while others are served, and it changes nothing for them. */
static void another_port(struct bed *bed)
{
	struct run_worker first, second;
	_cleanup_observed_ struct observed o = {};
	struct error err;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	admit_worker(0, &first);
	CHECK_EQ(visit(0), first.pid);
	run_endpoint(&service, AF_INET6, false, RUN_PORT + 1, 0);
	CHECK_EQ(visit(0), first.pid);
	CHECK_EQ(-run_connect(&service.steer.service->endpoints[1]), ECONNREFUSED);
	run_start(&service, 3, &second);
	look(&o);
	CHECK_EQ(o.n_listeners, 3);
	CHECK_EQ(o.n_foreign, 2);
	CHECK_EQ(slot_replace_worker(&service, 0, &second.newcomer, NULL, "test", &err), 0);
	CHECK_EQ(visit(0), second.pid);
	CHECK_EQ(visit(1), second.pid);
}

static uint16_t account_of(unsigned int slot)
{
	struct rpd_worker row;

	CHECK_EQ(steer_workers_get(&service.steer, slot, &row), 0);
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

/* Another one, with less endpoints, in place of a live one; and back, as a reload that failed does.
 * Each has its own account, and who comes back his old one. */
static void replaced_and_back(struct bed *bed)
{
	struct run_worker old, next;
	uint64_t cookie, held = 0;
	uint16_t old_account;
	struct error err;
	int client;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	run_endpoint(&service, AF_INET, false, RUN_PORT + 1, 0);
	admit_worker(2, &old);
	client = run_connect(&service.steer.service->endpoints[0]);
	CHECK(client >= 0);
	old_account = account_of(2);
	cookie = slot_cookie(1, 2);
	CHECK(cookie != 0);
	run_start(&service, 1, &next);
	CHECK_EQ(slot_replace_worker(&service, 2, &next.newcomer, "v2", "test", &err), 0);
	CHECK_EQ(slot_cookie(0, 2), next.listeners[0].cookie);
	CHECK_EQ(slot_cookie(1, 2), 0);
	CHECK_EQ(count_former(), 2);
	CHECK_EQ(visit(0), next.pid);
	CHECK(account_of(2) != old_account);
	CHECK(generation_open_connections(&service, old_account, &held));
	CHECK_EQ(held, 1);
	run_reopen(&service);
	CHECK_EQ(slot_replace_worker(&service, 2, &old.newcomer, "v1", "test", &err), 0);
	CHECK_EQ(account_of(2), old_account);
	CHECK_EQ(slot_cookie(1, 2), cookie);
	CHECK_EQ(count_former(), 1);
	run_send(client, 3);
	CHECK_EQ(run_answer(client, NULL), 3);
	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(visit(i % 2), old.pid);
	run_kill(next.pid);
	CHECK_EQ(count_former(), 0);
}

/* What a supervisor that was killed between the new row and the old one's last listener has left:
 * the next look takes that out. */
static void killed_between(struct bed *bed)
{
	_cleanup_observed_ struct observed o = {};
	struct run_worker old, next;
	struct error err;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	run_endpoint(&service, AF_INET, false, RUN_PORT + 1, 0);
	admit_worker(0, &old);
	run_start(&service, 1, &next);
	CHECK_EQ(admit(&service, 0, &next.newcomer, 0, &err), 0);
	CHECK(slot_cookie(1, 0) != 0);
	look(&o);
	CHECK_EQ(slot_cookie(1, 0), 0);
	CHECK_EQ(o.slots[0].worker.cookies[1], 0);
	CHECK_EQ(slot_cookie(0, 0), next.listeners[0].cookie);
}

/* A newcomer that can't be admitted changes nothing. */
static void refused(struct bed *bed)
{
	struct run_worker workers[2];
	struct error err;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	run_endpoint(&service, AF_INET, false, RUN_PORT + 1, 0);
	admit_worker(0, &workers[0]);
	run_start(&service, 3, &workers[1]);
	/* Its second listener is somewhere else. */
	workers[1].newcomer.listeners[1] = &workers[0].listeners[1];
	CHECK(slot_replace_worker(&service, 0, &workers[1].newcomer, "v9", "test", &err) < 0);
	for (unsigned int e = 0; e < 2; e++) {
		CHECK_EQ(slot_cookie(e, 0), workers[0].listeners[e].cookie);
		CHECK_EQ(visit(e), workers[0].pid);
	}
	/* One that is in a slot already. */
	CHECK_EQ(slot_replace_worker(&service, 1, &workers[0].newcomer, NULL, "test", &err),
	         -EBUSY);
	CHECK_EQ(slot_cookie(0, 1), 0);
	CHECK_EQ(visit(0), workers[0].pid);
}

/* It can be put in place, but what follows fails: here the other worker's listener can't be noted,
 * as there is no room for it. */
static void refused_late(struct bed *bed)
{
	const struct rpd_member member = {.slot = 3};
	struct run_worker workers[3];
	struct rpd_worker row;
	struct error err;
	uint64_t next;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	admit_worker(0, &workers[0]);
	admit_worker(1, &workers[1]);
	run_start(&service, 1, &workers[2]);
	CHECK_EQ(steer_members_remove(&service.steer, workers[1].listeners[0].cookie), 0);
	for (next = 1ull << 60; steer_members_set(&service.steer, next, &member) == 0;)
		next++;
	CHECK_EQ(steer_members_remove(&service.steer, next - 1), 0);
	CHECK(slot_replace_worker(&service, 0, &workers[2].newcomer, "v9", "test", &err) < 0);
	CHECK(strstr(err.text, "can't write the versions"));
	CHECK_EQ(slot_cookie(0, 0), workers[0].listeners[0].cookie);
	CHECK_EQ(steer_workers_get(&service.steer, 0, &row), 0);
	CHECK_EQ(row.pid, workers[0].pid);
	for (unsigned int i = 0; i < 4; i++)
		CHECK(visit(0) != workers[2].pid);
	CHECK_EQ(schedule_version_find(steer_schedule(&service.steer), "v9"), -1);
}

static void not_counted(struct bed *bed)
{
	uint64_t held, cookie = 1;

	begin();
	CHECK(!generation_open_connections(&service, RPD_ACCOUNT_NONE, &held));
	CHECK(generation_open_connections(&service, 0, &held));
	CHECK(generation_handshakes(&service, &cookie, 1, &held));
	CHECK_EQ(held, 0);
	conns_close(&service.conns);
	CHECK(!generation_open_connections(&service, 0, &held));
	CHECK(!generation_handshakes(&service, &cookie, 1, &held));
}

static void tell_nobody(const char *why)
{
}

/* Makes the case's service one of another, living supervisor. */
static pid_t other_supervisor(void)
{
	pid_t pid;
	struct error err;

	service_close(&service);
	pid = run_fork(-1);
	if (pid == 0) {
		if (service_open(&service, RUN_NAME, &err) < 0 ||
		    service_supervisor_become(&service, &err) < 0)
			_exit(1);
		service_close(&service);
		for (;;)
			pause();
	}
	do {
		run_reopen(&service);
	} while (service.steer.service->supervisor_pid != (uint32_t)pid);
	return pid;
}

/* Nobody else changes who is in the slots, or takes the service away, while its supervisor lives.
 */
static void supervised(struct bed *bed)
{
	const struct swap_request request = {.slot = 0, .pid = 1};
	struct attach_request attach_request = {.wanted = {.port = RUN_PORT},
	                                        .label = RPD_FIRST_LABEL,
	                                        .report_waiting = tell_nobody};
	_cleanup_observed_ struct observed o = {};
	_cleanup_free_ char *notes = NULL;
	char name[RPD_LABEL_MAX];
	struct run_worker workers[2];
	struct service other;
	struct error err;
	pid_t supervisor;

	/* The bed's own service is not needed, and attach would wait for it. */
	CHECK_EQ(pins_remove(&bed->pins, STEER_FIRST_PIN, &err), 0);
	pins_unlock(&bed->pins);
	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	admit_worker(0, &workers[0]);
	admit_worker(1, &workers[1]);
	supervisor = other_supervisor();
	look(&o);
	CHECK_EQ(swap(&service, &o, &request, &err), -EPERM);
	CHECK(strstr(err.text, "reuseportd reload"));
	service_close(&service);
	CHECK_EQ(watch(RUN_NAME, &err), -EPERM);
	CHECK_EQ(detach(RUN_NAME, false, name, &err), -EBUSY);
	CHECK(strstr(err.text, "reuseportd stop " RUN_NAME));
	CHECK_EQ(detach(RUN_NAME, true, name, &err), -EBUSY);
	service_init(&other);
	CHECK_EQ(attach(&attach_request, &other, &notes, &err), -EEXIST);
	CHECK(strstr(err.text, "service '" RUN_NAME "'") && strstr(err.text, "reuseportd stop"));
	service_close(&other);
	attach_request.service = RUN_NAME;
	CHECK_EQ(attach(&attach_request, &other, &notes, &err), -EEXIST);
	service_close(&other);
	CHECK_EQ(run_create(&service, &err), -EEXIST);
	CHECK(strstr(err.text, "is run by pid"));
	service_close(&service);
	run_kill(supervisor);
	/* Its workers may live. */
	CHECK_EQ(detach(RUN_NAME, false, name, &err), -EBUSY);
	CHECK(strstr(err.text, "reuseportd stop " RUN_NAME));
	CHECK_EQ(detach(RUN_NAME, true, name, &err), 0);
	CHECK_EQ(service_open(&service, RUN_NAME, &err), -ENOENT);
}

/* With nobody in it and its supervisor gone it makes room for another one of its name. */
static void abandoned(struct bed *bed)
{
	struct run_worker worker;
	struct error err;
	pid_t supervisor;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	supervisor = other_supervisor();
	CHECK_EQ(service_make_room(&service, &err), -EEXIST);
	run_kill(supervisor);
	CHECK_EQ(service_supervisor_pid(&service), 0);
	admit_worker(0, &worker);
	CHECK_EQ(service_make_room(&service, &err), -EEXIST);
	run_kill(worker.pid);
	CHECK_COMES(slot_cookie(0, 0) == 0);
	CHECK_EQ(service_make_room(&service, &err), 0);
	CHECK_EQ(service_open(&service, RUN_NAME, &err), -ENOENT);
}

/* A supervisor that was killed in the middle of a probe. */
static void left_probes(struct bed *bed)
{
	const struct rpd_probe source = {.family = AF_INET, .port = 1234};
	struct run_worker worker;
	struct error err;
	pid_t supervisor;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	supervisor = other_supervisor();
	run_start(&service, 1, &worker);
	{
		_cleanup_close_ int fd = proc_duplicate_fd(worker.pid, worker.newcomer.fds[0],
		                                           worker.listeners[0].inode, &err);

		CHECK_EQ(steer_socks_put(&service.steer, 0, RPD_SLOT_PROBE + 3, fd), 0);
	}
	CHECK_EQ(steer_probes_set(&service.steer, &source, RPD_SLOT_PROBE + 3), 0);
	run_reopen(&service);
	CHECK_EQ(service.steer.control->n_probes, 1);
	run_kill(supervisor);
	run_reopen(&service);
	CHECK_EQ(service.steer.control->n_probes, 0);
	CHECK_EQ(steer_socks_cookie(&service.steer, 0, RPD_SLOT_PROBE + 3), 0);
	CHECK_EQ(slot_replace_worker(&service, 0, &worker.newcomer, NULL, "test", &err), 0);
	CHECK_EQ(visit(0), worker.pid);
}

int main(void)
{
	static const struct check_case cases[] = {
	        {"nobody_yet", nobody_yet},
	        {"run_states", run_states},
	        {"half_made_endpoint", half_made_endpoint},
	        {"another_port", another_port},
	        {"replaced_and_back", replaced_and_back},
	        {"killed_between", killed_between},
	        {"refused", refused},
	        {"refused_late", refused_late},
	        {"not_counted", not_counted},
	        {"supervised", supervised},
	        {"abandoned", abandoned},
	        {"left_probes", left_probes},
	};

	service_init(&service);
	parking_init(&parking);
	return check_run(cases, ARRAY_SIZE(cases));
}
