/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_listeners.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/sockdiag.h"

static bool worker_listeners_is_fixed(const struct worker *w, uint64_t cookie)
{
	for (size_t i = 0; i < w->n_fixed; i++)
		if (w->fixed[i] == cookie)
			return true;
	return false;
}

bool worker_listeners_is_admitted(const struct worker *w, uint64_t cookie)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e] == cookie)
			return true;
	return false;
}

bool worker_listeners_has_any(const struct worker *w)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e])
			return true;
	return false;
}

/* Whether `listen` names the listener or, if it names none, whether it is on a fixed port. */
static bool worker_listeners_is_wanted(const struct worker *w, const struct listener *listener)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; i < config->n_listens; i++)
		if (endpoint_matches(&listener->endpoint, &config->listens[i]))
			return true;
	return config->n_listens == 0 && (worker_listeners_is_fixed(w, listener->cookie) ||
	                                  worker_listeners_is_admitted(w, listener->cookie));
}

int worker_listeners_find(const struct worker *w, struct listener **ret, size_t *ret_n,
                          struct error *err)
{
	struct listener *listeners;
	size_t n, kept = 0;
	int r = sockdiag_list_listeners(0, &listeners, &n, err);

	if (r < 0)
		return r;
	/* Listeners that were passed to the worker were made by a supervisor, in its cgroup. */
	for (size_t i = 0; i < n; i++)
		if ((listeners[i].cgroup == w->cgroup_id ||
		     worker_listeners_is_fixed(w, listeners[i].cookie) ||
		     worker_listeners_is_admitted(w, listeners[i].cookie)) &&
		    worker_listeners_is_wanted(w, &listeners[i]))
			listeners[kept++] = listeners[i];
	*ret = listeners;
	*ret_n = kept;
	return 0;
}

static bool worker_listeners_is_among(uint64_t cookie, const struct listener *listeners, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (listeners[i].cookie == cookie)
			return true;
	return false;
}

/* A worker may close and open its listener as often as it likes: closed ones are dropped. */
static void worker_listeners_forget_closed(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error ignored;
	size_t n = 0, kept = 0;

	if (sockdiag_list_listeners(0, &listeners, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < w->n_fixed; i++)
		if (worker_listeners_is_among(w->fixed[i], listeners, n))
			w->fixed[kept++] = w->fixed[i];
	w->n_fixed = kept;
}

void worker_listeners_note(struct worker *w, uint64_t cookie)
{
	if (w->n_fixed == RPD_ENDPOINT_MAX)
		worker_listeners_forget_closed(w);
	if (w->n_fixed < RPD_ENDPOINT_MAX)
		w->fixed[w->n_fixed++] = cookie;
}

const char *worker_listeners_format(const struct worker *w, char *buf, size_t size)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error ignored;
	size_t n = 0, used = 0;

	*buf = '\0';
	if (sockdiag_list_listeners(0, &listeners, &n, &ignored) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		char text[ENDPOINT_TEXT_MAX];

		endpoint_format(&listeners[i].endpoint, text, sizeof(text));
		if (listeners[i].cgroup == w->cgroup_id && used + strlen(text) + 2 < size)
			used += snprintf(buf + used, size - used, "%s%s", used ? ", " : "", text);
	}
	if (!used)
		snprintf(buf, size, "nothing");
	return buf;
}
