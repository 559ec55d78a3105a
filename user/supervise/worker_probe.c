/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/strv.h"
#include "service/service_lock.h"
#include "supervise/health_probe.h"
#include "supervise/placement.h"
#include "supervise/worker_env.h"

/* The probes of a service get a part of the time, however short their interval is: after one of
 * them the next one waits so many times as long as one takes. That is measured; but a busy machine
 * must not delay the probes for too long. */
#define PROBE_PAUSE    3
#define PROBE_COST_MAX (NS_PER_S / 50)

bool worker_probe_is_configured(const struct run_config *config)
{
	return config->ready == READY_HTTP || config->ready == READY_TCP ||
	       config->ready == READY_EXEC;
}

static void worker_probe_on_done(bool ok, const char *why, void *data)
{
	struct worker *w = data;
	struct health_probe *probe = TAKE_PTR(w->probe);

	w->on_probe(w, ok, why); /* may free the worker */
	health_probe_cancel(probe);
}

/* Where probes of the worker go. */
static int worker_probe_find_target(struct worker *w, struct service *service,
                                    struct health_probe_request *ret, struct error *err)
{
	if (w->state != WORKER_UP)
		return placement_open_to_probes(w, service, &ret->endpoint, &ret->index, err);
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e] && steer_has_endpoint(&service->steer, e)) {
			ret->endpoint = e;
			ret->index = w->slot;
			return 0;
		}
	return error_set(err, -ENOENT, "the worker does not listen any more");
}

static int worker_probe_begin(struct worker *w, struct error *err)
{
	const struct run_config *config = &w->plan->config;
	_cleanup_service_lock_ struct service *service = NULL;
	_cleanup_strv_ char **env = worker_env_new(w);
	struct health_probe_request request = {
	        .kind = config->ready,
	        .argument = config->ready_argument,
	        .timeout = config->health_timeout,
	        .service = &w->sup->service,
	        .env = env,
	        .cwd = config->cwd,
	        .user = config->user,
	        .group = config->group,
	        .identity = config->identity,
	        .cgroup_path = w->sup->cgroup_path,
	        .done = worker_probe_on_done,
	        .data = w,
	};
	char pid[32];
	int r;

	snprintf(pid, sizeof(pid), "REUSEPORTD_PID=%u", w->pid);
	if (!env || strv_append(&env, pid) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	request.env = env;
	r = service_lock(&w->sup->service, &service, err);
	if (r == 0 && config->ready != READY_EXEC)
		r = worker_probe_find_target(w, service, &request, err);
	return r < 0 ? r : health_probe_start(w->sup->loop, &request, &w->probe, err);
}

/* When the next probe of the service may start, ns from now. The time until the one after it is
 * reserved. */
static int64_t worker_probe_take_turn(struct supervisor *sup)
{
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	const int64_t turn = sup->probes_from > now ? sup->probes_from : now;

	sup->probes_from = turn + PROBE_PAUSE * sup->probe_cost;
	return turn - now;
}

static void worker_probe_run(struct worker *w)
{
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	struct supervisor *sup = w->sup;
	struct error err = {};
	const int r = worker_probe_begin(w, &err);
	const int64_t took = clock_ns(CLOCK_MONOTONIC) - begin;

	sup->probe_cost =
	        (3 * sup->probe_cost + (took < PROBE_COST_MAX ? took : PROBE_COST_MAX)) / 4;
	if (r < 0)
		worker_probe_on_done(false, err.text, w);
}

static int worker_probe_on_turn(sd_event_source *source, uint64_t now, void *data)
{
	struct worker *w = data;

	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	if (!w->probe)
		worker_probe_run(w);
	return 0;
}

static void worker_probe_arm(struct worker *w, int64_t ns, sd_event_time_handler_t handler)
{
	memory_check(sd_event_add_time_relative(w->sup->loop, &w->probe_timer, CLOCK_MONOTONIC,
	                                        ns / 1000, 1000, handler, w));
}

void worker_probe_start(struct worker *w, void (*done)(struct worker *w, bool ok, const char *why))
{
	int64_t pause;

	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	w->on_probe = done;
	if (w->probe)
		return;
	pause = worker_probe_take_turn(w->sup);
	if (pause > 0)
		worker_probe_arm(w, pause, worker_probe_on_turn);
	else
		worker_probe_run(w);
}

static int worker_probe_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct worker *w = data;

	worker_probe_start(w, w->on_probe);
	return 0;
}

void worker_probe_start_after(struct worker *w, int64_t ns,
                              void (*done)(struct worker *w, bool ok, const char *why))
{
	w->on_probe = done;
	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	worker_probe_arm(w, ns, worker_probe_on_timer);
}

void worker_probe_end(struct worker *w)
{
	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	health_probe_cancel(w->probe);
	w->probe = NULL;
}
