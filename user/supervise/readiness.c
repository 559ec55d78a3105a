/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/readiness.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "core/endpoint.h"
#include "core/ready_rule.h"
#include "kern/sockdiag.h"
#include "kern/steer.h"
#include "kern/steer_socks.h"
#include "service/service_endpoint.h"
#include "service/service_lock.h"
#include "supervise/endpoints.h"
#include "supervise/held_address.h"
#include "supervise/park.h"
#include "supervise/report.h"
#include "supervise/worker.h"
#include "supervise/worker_env.h"
#include "supervise/worker_listeners.h"
#include "supervise/worker_probe.h"

#define PROBE_AGAIN_NS (NS_PER_S / 4) /* between two probes of a worker that starts */

/* How long a worker may have two listeners on an address. */
#define READINESS_DUPLICATES_NS NS_PER_S

static bool readiness_has_named(const struct rpd_endpoint *named, const struct listener *listeners,
                                size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (endpoint_matches(&listeners[i].endpoint, named))
			return true;
	return false;
}

/* Which other workers listen on the endpoint. */
static struct ready_seen readiness_see_others(const struct worker *w, const struct service *service,
                                              unsigned int endpoint)
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

/* Records where the worker does not listen, and where it does. @more: text after the option of the
 * time, with the closing bracket. */
static void readiness_note_missing(struct worker *w, const char *where, const char *more)
{
	char list[3 * ENDPOINT_TEXT_MAX];

	snprintf(w->why, sizeof(w->why),
	         "did not listen on %s within %g s (--ready-timeout%s; it listens on %s", where,
	         (double)w->plan->config.ready_timeout / NS_PER_S, more,
	         worker_listeners_format(w, list, sizeof(list)));
}

/* The same for an endpoint that --listen names. Most often the program listens on all addresses,
 * IPv6 too. */
static void readiness_note_missing_named(struct worker *w, const struct rpd_endpoint *named)
{
	char text[ENDPOINT_TEXT_MAX], more[96] = ")";

	if (named->family) {
		endpoint_format(named, text, sizeof(text));
		snprintf(more, sizeof(more), "; --listen %u would take any address with that port)",
		         named->port);
	} else {
		snprintf(text, sizeof(text), "port %u", named->port);
	}
	readiness_note_missing(w, text, more);
}

/* Which addresses a worker lacks that it should listen on. */
enum readiness_lack {
	READINESS_COMPLETE,
	READINESS_LATE, /* an address that the program may have dropped: it isn't waited for long */
	READINESS_INCOMPLETE, /* it is not ready */
};

/* Whether the worker listens on some endpoint of the service. */
static bool readiness_serves_any(const struct worker *w)
{
	for (size_t i = 0; i < w->n_addresses; i++)
		if (service_endpoint_index(&w->sup->service, &w->addresses[i]) >= 0)
			return true;
	return false;
}

/* If no port is named: whether the worker listens where the other workers do. Reads without the
 * lock: only the supervisor puts listeners into the service's slots. An earlier failure may have
 * closed the service. */
static enum readiness_lack readiness_compare_to_others(struct worker *w)
{
	_cleanup_service_lock_ struct service *locked = NULL;
	const struct service *service = &w->sup->service;
	enum readiness_lack lack = READINESS_COMPLETE;
	struct error err = {};

	if (!service_is_open(service) && service_lock(&w->sup->service, &locked, &err) < 0) {
		snprintf(w->why, sizeof(w->why), "can't be checked: %.*s", (int)sizeof(w->why) - 32,
		         err.text);
		return READINESS_INCOMPLETE;
	}
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
		const struct rpd_endpoint *endpoint = &service->steer.service->endpoints[e];
		char text[ENDPOINT_TEXT_MAX];
		struct ready_seen seen;

		if (!steer_has_endpoint(&service->steer, e) ||
		    worker_listeners_has_address(w, endpoint) ||
		    endpoints_is_covered_by(w, endpoint))
			continue;
		seen = readiness_see_others(w, service, e);
		if (!ready_rule_must_listen(&w->plan->config, &seen))
			continue;
		readiness_note_missing(w, endpoint_format(endpoint, text, sizeof(text)),
		                       seen.predecessor
		                               ? "), where the worker that it replaces listens"
		                               : "), where most of the other workers listen");
		if (worker_env_has_own_port(w, endpoint->port) ||
		    !(seen.predecessor ? w->n_addresses : readiness_serves_any(w)))
			return READINESS_INCOMPLETE;
		lack = READINESS_LATE;
	}
	return lack;
}

/* Compares where the worker listens with where it must. If something is missing, records it in
 * w->why: the reason if the worker is not ready in time. */
static enum readiness_lack readiness_find_lack(struct worker *w, const struct listener *listeners,
                                               size_t n)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; i < config->n_listens; i++)
		if (!readiness_has_named(&config->listens[i], listeners, n)) {
			readiness_note_missing_named(w, &config->listens[i]);
			return READINESS_INCOMPLETE;
		}
	if (n == 0 && !ready_rule_allows_no_listener(config)) {
		readiness_note_missing(w, "any fixed port", ")");
		return READINESS_INCOMPLETE;
	}
	return config->n_listens ? READINESS_COMPLETE : readiness_compare_to_others(w);
}

/* Whether the worker listens wherever it must. For an address that the program may have dropped it
 * is waited for a while. */
static bool readiness_listens_everywhere(struct worker *w, const struct listener *listeners,
                                         size_t n)
{
	const enum readiness_lack lack = readiness_find_lack(w, listeners, n);

	if (lack != READINESS_LATE || w->may_drop)
		return lack != READINESS_INCOMPLETE;
	if (!w->is_late)
		worker_arm_late(w);
	return false;
}

/* Whether connections to some address of the worker would not be steered yet. With many addresses
 * on a busy machine, it is ready all the same after half of --ready-timeout. */
static bool readiness_awaits_endpoints(const struct worker *w)
{
	return endpoints_has_more(w) &&
	       clock_ns(CLOCK_MONOTONIC) - w->started_at < w->plan->config.ready_timeout / 2;
}

static void readiness_become_ready(struct worker *w)
{
	w->why[0] = '\0';
	worker_probe_end(w);
	worker_event(w, WORKER_EVENT_READY);
}

static void readiness_note_probe(struct worker *w, const char *why)
{
	snprintf(w->why, sizeof(w->why), "was not ready within %g s (--ready-timeout): %s",
	         (double)w->plan->config.ready_timeout / NS_PER_S, why);
}

static void readiness_on_probe(struct worker *w, bool ok, const char *why)
{
	if (w->state != WORKER_STARTING)
		return;
	if (ok) {
		readiness_become_ready(w);
		return;
	}
	readiness_note_probe(w, why);
	worker_probe_start_after(w, PROBE_AGAIN_NS, readiness_on_probe);
}

static bool readiness_is_reported(const struct worker *w)
{
	return w->plan->config.ready == READY_LISTEN || w->sent_ready;
}

static int readiness_on_alive_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct worker *w = data;

	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	readiness_check(w);
	return 0;
}

/* Whether a worker that listens on nothing has lived for alive-after; else it is checked again at
 * that time. */
static bool readiness_has_lived(struct worker *w)
{
	int64_t left = w->started_at + w->plan->config.alive_after - clock_ns(CLOCK_MONOTONIC);

	if (left > 0 && !w->probe_timer)
		memory_check(sd_event_add_time_relative(w->sup->loop, &w->probe_timer,
		                                        CLOCK_MONOTONIC, left / 1000 + 1, 1000,
		                                        readiness_on_alive_timer, w));
	return left <= 0;
}

/* Whether the worker of a program that never sends the message has lived long enough without it. */
static bool readiness_goes_without_message(struct worker *w)
{
	const struct worker *old = w->sup->slots[w->slot].current;
	const struct run_config *config = &w->plan->config;

	if (!ready_rule_allows_no_message(config, old && old->sent_ready) ||
	    !readiness_has_lived(w))
		return false;
	report_line(
	        w->sup,
	        "slot %u: pid %u has not called process.send('ready') within %g s: it counts as "
	        "ready, as in PM2",
	        w->slot, w->pid, (double)config->alive_after / NS_PER_S);
	return true;
}

/* The worker listens wherever it must. */
static void readiness_check_further(struct worker *w, bool listens)
{
	const struct run_config *config = &w->plan->config;

	if (worker_probe_is_configured(config)) {
		readiness_note_probe(w, "its probe was not answered yet");
		worker_probe_start(w, readiness_on_probe);
	} else if (config->ready == READY_ALIVE) {
		if (listens || readiness_has_lived(w))
			readiness_become_ready(w);
	} else if (readiness_is_reported(w) || readiness_goes_without_message(w)) {
		readiness_become_ready(w);
	} else {
		snprintf(w->why, sizeof(w->why),
		         "did not report within %g s (--ready-timeout) that it is ready (%s)",
		         (double)config->ready_timeout / NS_PER_S,
		         config->ready == READY_NOTIFY ? "sd_notify READY=1"
		                                       : "process.send('ready')");
	}
}

void readiness_check(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error err = {};
	size_t n = 0;
	int r;

	if (w->state != WORKER_STARTING && w->state != WORKER_SETTLING)
		return;
	r = worker_listeners_look(w, &listeners, &n, &err);
	/* Parks connections as soon as an endpoint is known. */
	if (r == 0)
		r = endpoints_add(w, false, &err);
	if (r == ENDPOINTS_MORE)
		worker_listeners_ask_look(w);
	if (r < 0) {
		worker_fail(w, "can't be used: %s", err.text);
		return;
	}
	/* Connections wait there for the park timeout from now on. */
	if (!w->sup->park_timer && endpoints_next_timeout(w->sup))
		park_update(w->sup);
	if (w->state == WORKER_SETTLING || readiness_awaits_endpoints(w))
		return;
	if (w->probe || (w->probe_timer && worker_probe_is_configured(&w->plan->config)))
		return;
	if (readiness_listens_everywhere(w, listeners, n))
		readiness_check_further(w, n > 0);
	else if (held_address_explains(w))
		worker_event(w, WORKER_EVENT_FAILED); /* w->why has the reason */
}

/* --- a new worker that listens elsewhere */

/* How long it may take to listen where it must, once it listens elsewhere. */
static int64_t readiness_patience(const struct worker *old)
{
	const int64_t own = 2 * (old->up_at - old->started_at);

	return own > WORKER_LATE_NS ? own : WORKER_LATE_NS;
}

/* The first entry of `listen` that has no listener, or NULL. */
static const struct rpd_endpoint *readiness_find_unheard(const struct worker *w,
                                                         const struct listener *listeners, size_t n)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; i < config->n_listens; i++)
		if (!readiness_has_named(&config->listens[i], listeners, n))
			return &config->listens[i];
	return NULL;
}

void readiness_check_astray(struct worker *w)
{
	const struct worker *old = w->sup->slots[w->slot].current;
	char list[3 * ENDPOINT_TEXT_MAX], text[ENDPOINT_TEXT_MAX];
	_cleanup_free_ struct listener *listeners = NULL;
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	const struct rpd_endpoint *named = NULL;
	struct error ignored;
	size_t n = 0;

	if (w->state != WORKER_STARTING || !old || !w->plan->config.n_listens)
		return;
	if (sockdiag_list_listeners_of(w->cgroup_id, true, &listeners, &n, &ignored) == 0 && n)
		named = readiness_find_unheard(w, listeners, n);
	if (!named)
		w->astray_at = 0;
	else if (!w->astray_at)
		w->astray_at = now;
	if (!w->astray_at || now - w->astray_at < readiness_patience(old))
		return;
	if (named->family)
		endpoint_format(named, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "port %u", named->port);
	worker_fail(w, "does not listen on %s, as --listen demands, but on %s", text,
	            worker_listeners_format(w, list, sizeof(list)));
}

/* --- when it has settled */

/* A program that replaces its listener has two for a moment: it is given some time. Returns whether
 * the worker has a single listener on each address. */
static bool readiness_has_no_duplicate(struct worker *w, const struct listener *listeners, size_t n)
{
	const int64_t since = clock_ns(CLOCK_MONOTONIC) - w->duplicates_at;
	char text[sizeof(w->why)];

	if (!worker_listeners_describe_duplicates(w, listeners, n, text, sizeof(text)))
		return true;
	if (since < READINESS_DUPLICATES_NS) {
		worker_arm(w, READINESS_DUPLICATES_NS - since);
		return false;
	}
	w->has_duplicates = true;
	worker_fail(w, "%s", text);
	return false;
}

/* An address of a named port that the worker's predecessor serves, and the worker drops; or -1. */
static int readiness_find_dropped(const struct worker *w)
{
	const struct worker *old = w->sup->slots[w->slot].current;
	const struct service *service = &w->sup->service;

	for (unsigned int e = 0; old && e < RPD_ENDPOINT_MAX; e++) {
		const struct rpd_endpoint *endpoint = &service->steer.service->endpoints[e];

		if (old->cookies[e] && endpoints_is_named(w->sup, endpoint) &&
		    !worker_listeners_has_address(w, endpoint) &&
		    !endpoints_is_covered_by(w, endpoint))
			return (int)e;
	}
	return -1;
}

static bool readiness_drops_nothing(struct worker *w)
{
	char text[ENDPOINT_TEXT_MAX], list[3 * ENDPOINT_TEXT_MAX];
	const int e = readiness_find_dropped(w);

	if (e < 0)
		return true;
	worker_fail(
	        w,
	        "does not listen on %s, where the worker that it replaces does, but on %s: "
	        "connections to that address would be refused",
	        endpoint_format(&w->sup->service.steer.service->endpoints[e], text, sizeof(text)),
	        worker_listeners_format(w, list, sizeof(list)));
	return false;
}

bool readiness_confirm(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error err = {};
	size_t n = 0;

	if (worker_listeners_look(w, &listeners, &n, &err) < 0) {
		worker_fail(w, "%s", err.text);
		return false;
	}
	if (!readiness_has_no_duplicate(w, listeners, n))
		return false;
	if (readiness_awaits_endpoints(w))
		worker_listeners_ask_look(w);
	if (!readiness_listens_everywhere(w, listeners, n) || readiness_awaits_endpoints(w)) {
		worker_event(w, WORKER_EVENT_UNREADY);
		return false;
	}
	w->why[0] = '\0';
	return readiness_drops_nothing(w);
}
