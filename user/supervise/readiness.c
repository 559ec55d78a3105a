/* SPDX-License-Identifier: BSD-2-Clause */
/* When a worker is ready, and, later, whether it is well. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "core/endpoint.h"
#include "core/ready_rule.h"
#include "supervise/types.h"
#include "kern/sockdiag.h"
#include "kern/steer_socks.h"

#define PROBE_AGAIN_NS (NS_PER_S / 4) /* until a worker that starts is ready */

static bool readiness_takes(const struct rpd_endpoint *named, const struct listener *listener)
{
	return named->port == listener->endpoint.port &&
	       (!named->family || (named->family == listener->endpoint.family &&
	                           !memcmp(named->addr, listener->endpoint.addr, 16)));
}

/* Whether one of the listeners is as named. */
static bool readiness_has_named(const struct rpd_endpoint *named, const struct listener *listeners,
                                size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (readiness_takes(named, &listeners[i]))
			return true;
	return false;
}

/* Who listens on the endpoint beside @w. */
static struct ready_seen readiness_look_around(const struct worker *w,
                                               const struct service *service, unsigned int endpoint)
{
	struct ready_seen seen = {};

	for (unsigned int slot = 0; slot < w->sup->n_slots; slot++) {
		bool is_there = w->sup->slots[slot].current;
		bool listens = is_there && steer_socks_cookie(&service->steer, endpoint, slot);

		if (slot == w->slot) {
			seen.predecessor = listens;
			continue;
		}
		seen.others += is_there;
		seen.listening += listens;
	}
	return seen;
}

static bool readiness_listens_on(const struct rpd_endpoint *endpoint,
                                 const struct listener *listeners, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (endpoint_equal(&listeners[i].endpoint, endpoint))
			return true;
	return false;
}

/* What it listens on, as "127.0.0.1:80, [::]:81" and no more than there is room for. */
static void readiness_list_listeners(const struct worker *w, char *buf, size_t size)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error ignored;
	size_t n = 0;

	*buf = '\0';
	if (sockdiag_list_listeners(0, &listeners, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		char text[ENDPOINT_TEXT_MAX];
		size_t used = strlen(buf);

		endpoint_format(&listeners[i].endpoint, text, sizeof(text));
		if (listeners[i].cgroup == w->cgroup_id && used + strlen(text) + 2 < size)
			snprintf(buf + used, size - used, "%s%s", used ? ", " : "", text);
	}
}

/* Where it has no listener, and where it has some instead. @more: to go on with. */
static void readiness_note_missing(struct worker *w, const char *where, const char *more)
{
	char list[3 * ENDPOINT_TEXT_MAX];

	readiness_list_listeners(w, list, sizeof(list));
	snprintf(w->why, sizeof(w->why), "does not listen on %s within %g s%s; it listens on %s",
	         where, (double)w->plan->config.ready_timeout / NS_PER_S, more,
	         list[0] ? list : "nothing");
}

/* Of an endpoint that --listen names. Mostly the program has chosen all addresses, IPv6 too. */
static void readiness_note_missing_named(struct worker *w, const struct rpd_endpoint *named)
{
	char text[ENDPOINT_TEXT_MAX], more[96] = "";

	if (named->family) {
		endpoint_format(named, text, sizeof(text));
		snprintf(more, sizeof(more), " (--listen %u would take any address with that port)",
		         named->port);
	} else {
		snprintf(text, sizeof(text), "port %u", named->port);
	}
	readiness_note_missing(w, text, more);
}

/* With no port named: where it has to by what others do. */
static bool readiness_listens_as_others(struct worker *w, const struct listener *listeners,
                                        size_t n)
{
	_cleanup_service_ struct service service;
	struct error err = {};

	service_init(&service);
	if (service_open(&service, w->sup->name, &err) < 0) {
		snprintf(w->why, sizeof(w->why), "%.*s", (int)sizeof(w->why) - 1, err.text);
		return false;
	}
	for (unsigned int e = 0; e < service.steer.service->n_endpoints; e++) {
		const struct rpd_endpoint *endpoint = &service.steer.service->endpoints[e];
		const struct ready_seen seen = readiness_look_around(w, &service, e);
		char text[ENDPOINT_TEXT_MAX];

		if (readiness_listens_on(endpoint, listeners, n) ||
		    !ready_rule_must_listen(&w->plan->config, &seen))
			continue;
		readiness_note_missing(w, endpoint_format(endpoint, text, sizeof(text)),
		                       seen.predecessor
		                               ? ", where the one that it is to replace does"
		                               : ", where most of the others do");
		return false;
	}
	return true;
}

/* Notes what it lacks: that is why it is late, if it is. */
static bool readiness_listens_everywhere(struct worker *w, const struct listener *listeners,
                                         size_t n)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; i < config->n_listens; i++)
		if (!readiness_has_named(&config->listens[i], listeners, n)) {
			readiness_note_missing_named(w, &config->listens[i]);
			return false;
		}
	if (n == 0 && !ready_rule_allows_no_listener(config)) {
		readiness_note_missing(w, "any fixed port", "");
		return false;
	}
	return config->n_listens || readiness_listens_as_others(w, listeners, n);
}

/* --- probes */

static void readiness_probe_later(struct worker *w, int64_t ns);

static void readiness_become_ready(struct worker *w)
{
	w->why[0] = '\0';
	readiness_end(w);
	worker_event(w, WORKER_EVENT_READY);
}

/* An answer to a health check. Whoever keeps the slot in spite of a bad one, as the others are no
 * better, or while it is being replaced, is asked on. */
static void readiness_note_health(struct worker *w, bool ok, const char *why)
{
	const struct run_config *config = &w->plan->config;
	char text[512];

	readiness_probe_later(w, config->health_interval);
	if (ok) {
		if (w->unhealthy)
			supervisor_log(w->sup, "slot %u: pid %u is well again", w->slot, w->pid);
		w->probe_failures = 0;
		w->unhealthy = false;
		return;
	}
	if (!w->unhealthy)
		supervisor_log(w->sup, "slot %u: pid %u: health check %u of %u failed: %s", w->slot,
		               w->pid, ++w->probe_failures, config->health_failures, why);
	if (w->probe_failures < config->health_failures)
		return;
	w->unhealthy = true;
	snprintf(text, sizeof(text), "pid %u is not well (%s)", w->pid, why);
	slot_unhealthy(w, text);
}

static void readiness_on_probe(bool ok, const char *why, void *data)
{
	struct worker *w = data;
	struct health_probe *probe = TAKE_PTR(w->probe);

	if (w->state == WORKER_UP) {
		readiness_note_health(w, ok, why);
	} else if (w->state == WORKER_STARTING && ok) {
		readiness_become_ready(w);
	} else if (w->state == WORKER_STARTING) {
		snprintf(w->why, sizeof(w->why), "was not ready within %g s: %s",
		         (double)w->plan->config.ready_timeout / NS_PER_S, why);
		readiness_probe_later(w, PROBE_AGAIN_NS);
	}
	health_probe_cancel(probe);
}

/* Where probes of it go to. */
static int readiness_probe_target(struct worker *w, struct service *service,
                                  struct health_probe_request *ret, struct error *err)
{
	if (w->state != WORKER_UP)
		return placement_expose(w, service, &ret->endpoint, &ret->index, err);
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e]) {
			ret->endpoint = e;
			ret->index = w->slot;
			return 0;
		}
	return error_set(err, -ENOENT, "it listens on nothing any more");
}

static int readiness_start_probe(struct worker *w, struct error *err)
{
	const struct run_config *config = &w->plan->config;
	_cleanup_service_ struct service service;
	_cleanup_strv_ char **env = worker_env_new(w);
	struct health_probe_request request = {
	        .kind = config->ready,
	        .argument = config->ready_argument,
	        .timeout = config->health_timeout,
	        .service = &service,
	        .env = env,
	        .cwd = config->cwd,
	        .user = config->user,
	        .group = config->group,
	        .cgroup_path = w->sup->cgroup_path,
	        .done = readiness_on_probe,
	        .data = w,
	};
	char pid[32];
	int r;

	service_init(&service);
	snprintf(pid, sizeof(pid), "REUSEPORTD_PID=%u", w->pid);
	if (!env || strv_append(&env, pid) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	request.env = env;
	r = service_open(&service, w->sup->name, err);
	if (r == 0 && config->ready != READY_EXEC)
		r = readiness_probe_target(w, &service, &request, err);
	return r < 0 ? r : health_probe_start(w->sup->loop, &request, &w->probe, err);
}

static int readiness_on_probe_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct worker *w = data;
	struct error err = {};

	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	if (w->probe)
		return 0;
	if (readiness_start_probe(w, &err) < 0)
		readiness_on_probe(false, err.text, w);
	return 0;
}

static void readiness_probe_later(struct worker *w, int64_t ns)
{
	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	sd_event_add_time_relative(w->sup->loop, &w->probe_timer, CLOCK_MONOTONIC, ns / 1000, 1000,
	                           readiness_on_probe_timer, w);
}

void readiness_end(struct worker *w)
{
	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	health_probe_cancel(w->probe);
	w->probe = NULL;
}

void readiness_watch(struct worker *w)
{
	w->probe_failures = 0;
	w->unhealthy = false;
	if (w->plan->config.health_interval)
		readiness_probe_later(w, w->plan->config.health_interval);
}

/* --- readiness */

static bool readiness_is_told(const struct worker *w)
{
	return w->plan->config.ready == READY_LISTEN || w->told_ready;
}

static bool readiness_is_probed(const struct run_config *config)
{
	return config->ready == READY_HTTP || config->ready == READY_TCP ||
	       config->ready == READY_EXEC;
}

static int readiness_on_alive_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct worker *w = data;

	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	readiness_look(w);
	return 0;
}

/* Whether it has lived for as long as one must that listens on nothing; else it is looked at again
 * when it has. */
static bool readiness_has_lived(struct worker *w)
{
	int64_t left = w->started_at + w->plan->config.alive_after - clock_ns(CLOCK_MONOTONIC);

	if (left > 0 && !w->probe_timer)
		sd_event_add_time_relative(w->sup->loop, &w->probe_timer, CLOCK_MONOTONIC,
		                           left / 1000 + 1, 1000, readiness_on_alive_timer, w);
	return left <= 0;
}

/* It listens wherever it must. */
static void readiness_look_further(struct worker *w, bool listens)
{
	const struct run_config *config = &w->plan->config;

	if (readiness_is_probed(config)) {
		readiness_on_probe_timer(NULL, 0, w);
	} else if (config->ready == READY_ALIVE) {
		if (listens || readiness_has_lived(w))
			readiness_become_ready(w);
	} else if (readiness_is_told(w)) {
		readiness_become_ready(w);
	} else {
		snprintf(w->why, sizeof(w->why), "has not said that it is ready within %g s (%s)",
		         (double)config->ready_timeout / NS_PER_S,
		         config->ready == READY_NOTIFY ? "sd_notify READY=1"
		                                       : "process.send('ready')");
	}
}

void readiness_look(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error err = {};
	size_t n = 0;
	int r;

	if (w->state != WORKER_STARTING)
		return;
	r = placement_listeners(w, &listeners, &n, &err);
	/* Connections may wait for the first worker as soon as it is known where. */
	if (r == 0 && n && !w->sup->slots[w->slot].current)
		r = placement_endpoints(w, listeners, n, &err);
	if (r < 0) {
		worker_fail(w, "%s", err.text);
		return;
	}
	if (w->probe || (w->probe_timer && readiness_is_probed(&w->plan->config)))
		return;
	if (readiness_listens_everywhere(w, listeners, n))
		readiness_look_further(w, n > 0);
}

static bool readiness_is_port_of(const struct run_config *config, const struct service *service,
                                 uint16_t port)
{
	const struct rpd_service *info = service->steer.service;

	for (size_t i = 0; i < config->n_listens; i++)
		if (config->listens[i].port == port)
			return true;
	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (info->endpoints[e].port == port)
			return true;
	return false;
}

void readiness_note_rival(struct worker *w)
{
	const struct run_config *config = &w->plan->config;
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_service_ struct service service;
	const uid_t uid = setup_workers_uid(config);
	char text[ENDPOINT_TEXT_MAX];
	size_t n = 0, used = strlen(w->why);
	struct error ignored;

	service_init(&service);
	if (service_open(&service, w->sup->name, &ignored) < 0 ||
	    sockdiag_list_listeners(0, &listeners, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct rpd_endpoint *it = &listeners[i].endpoint;

		if (it->uid == uid || !readiness_is_port_of(config, &service, it->port))
			continue;
		snprintf(w->why + used, sizeof(w->why) - used,
		         "; a process of user %u listens on %s, and the workers are of user %u: "
		         "users can't share a port",
		         it->uid, endpoint_format(it, text, sizeof(text)), uid);
		return;
	}
}

/* One that is up may open another port, or open one again. */
static void readiness_look_at_another(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error err = {};
	bool is_new = false;
	size_t n = 0;

	if (placement_listeners(w, &listeners, &n, &err) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		bool known = false;

		for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
			known |= w->cookies[e] == listeners[i].cookie;
		is_new |= !known;
	}
	if (is_new && placement_admit(w, &err) < 0)
		supervisor_log(w->sup, "slot %u: %s", w->slot, err.text);
	if (is_new)
		placement_park(w->sup); /* somebody may wait for just that */
}

static bool readiness_is_among(uint64_t cookie, const struct listener *listeners, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (listeners[i].cookie == cookie)
			return true;
	return false;
}

/* It may open its listener anew as often as it likes: those that are closed are of no use. */
static void readiness_forget_closed(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error ignored;
	size_t n = 0, kept = 0;

	if (sockdiag_list_listeners(0, &listeners, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < w->n_fixed; i++)
		if (readiness_is_among(w->fixed[i], listeners, n))
			w->fixed[kept++] = w->fixed[i];
	w->n_fixed = kept;
}

void readiness_heard(struct worker *w, uint64_t cookie, bool fixed)
{
	if (fixed && w->n_fixed == RPD_ENDPOINT_MAX)
		readiness_forget_closed(w);
	if (fixed && w->n_fixed < RPD_ENDPOINT_MAX)
		w->fixed[w->n_fixed++] = cookie;
	if (w->state == WORKER_UP)
		readiness_look_at_another(w);
	else
		readiness_look(w);
}
