/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/discover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/sockdiag.h"
#include "service/discover_report.h"

#define DISCOVER_LISTED_MAX 32 /* ports in an error */

void discover_found_free(struct discover_found *found)
{
	free(found->listeners);
	free(found->holders);
	free(found->notes);
	roster_free(&found->roster);
	memset(found, 0, sizeof(*found));
}

int discover_add_note(struct discover_found *found, const char *text, struct error *err)
{
	size_t old = found->notes ? strlen(found->notes) : 0;
	char *notes = realloc(found->notes, old + strlen(text) + 2);

	if (!notes)
		return error_set(err, -ENOMEM, "out of memory");
	sprintf(notes + old, "%s\n", text);
	found->notes = notes;
	return 0;
}

/*
 * Whether the group can be steered to. A group of a single listener counts only if the listener has
 * SO_REUSEPORT (without it there can't be several on one address) and one process serves it.
 * Returns 1, or 0 with the reason in @err, or a negative errno with @err set.
 */
static int discover_can_steer(struct discover_scene *scene, const struct roster_group *group,
                              const struct listener *first, struct error *err)
{
	int r;

	if (group->n_listeners > 1)
		return 1;
	if (group->n_unowned) {
		discover_report_unowned(group, "nothing can be steered to it", err);
		return 0;
	}
	r = discover_scene_has_reuseport(scene, first, err);
	if (r < 0 || (r > 0 && group->n_pollers <= 1))
		return r;
	discover_report_shared(group, discover_scene_comm(scene, first), err);
	return 0;
}

/* Whether a process that can be seen has the listener open. */
static bool discover_is_owned(const struct discover_found *found, const struct listener *listener)
{
	size_t held;

	roster_find_holders(found->holders, found->n_holders, listener->inode, &held);
	return held > 0;
}

/* Keeps the listeners of a group. If the user has said how many workers there are, those that no
 * process has open are left out. */
static int discover_keep_group(const struct discover_wanted *wanted,
                               const struct roster_group *group, const struct listener *listeners,
                               struct discover_found *found, struct error *err)
{
	struct error why;

	for (size_t i = 0; i < group->n_listeners; i++)
		if (!wanted->workers || discover_is_owned(found, &listeners[i]))
			found->listeners[found->n_listeners++] = listeners[i];
	if (!wanted->workers || !group->n_unowned)
		return 0;
	discover_report_unowned(group, "it gets no connection", &why);
	return discover_add_note(found, why.text, err);
}

/* Keeps the listeners of one port that can be steered to, and notes why the others are left out. If
 * none is kept, the last reason is the error. */
static int discover_keep_steerable(const struct discover_wanted *wanted,
                                   struct discover_scene *scene, const struct listener *listeners,
                                   size_t n, struct discover_found *found, struct error *err)
{
	_cleanup_(roster_free) struct roster all = {};
	struct error why = {};
	int r = 0;

	found->listeners = calloc(n + 1, sizeof(*found->listeners));
	if (!found->listeners ||
	    roster_build(listeners, n, found->holders, found->n_holders, &all) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t g = 0, at = 0; r >= 0 && g < all.n_groups; at += all.groups[g++].n_listeners) {
		const struct roster_group *group = &all.groups[g];

		r = discover_can_steer(scene, group, &listeners[at], &why);
		if (r > 0)
			r = discover_keep_group(wanted, group, &listeners[at], found, &why);
		else if (r == 0)
			r = discover_add_note(found, why.text, &why);
	}
	if (r < 0 || found->n_listeners == 0)
		return error_set(err, r < 0 ? r : -ENOTSUP, "%s", why.text);
	return 0;
}

/* The processes that have listeners of one port open. */
static int discover_copy_holders(const struct discover_scene *scene,
                                 const struct listener *listeners, size_t n,
                                 struct discover_found *found)
{
	for (size_t i = 0; i < n; i++) {
		size_t held;
		const struct holder *of = roster_find_holders(scene->holders, scene->n_holders,
		                                              listeners[i].inode, &held);
		struct holder *holders =
		        reallocarray(found->holders, found->n_holders + held + 1, sizeof(*holders));

		if (!holders)
			return -ENOMEM;
		found->holders = holders;
		if (held)
			memcpy(holders + found->n_holders, of, held * sizeof(*of));
		found->n_holders += held;
	}
	if (found->n_holders)
		qsort(found->holders, found->n_holders, sizeof(*found->holders),
		      roster_compare_holders);
	return 0;
}

/* The workers of the @n listeners of one port. */
static int discover_build(const struct discover_wanted *wanted, struct discover_scene *scene,
                          const struct listener *listeners, size_t n, struct discover_found *ret,
                          struct error *err)
{
	_cleanup_discover_found_ struct discover_found found = {};
	int r = discover_copy_holders(scene, listeners, n, &found);

	if (r == 0)
		r = discover_keep_steerable(wanted, scene, listeners, n, &found, err);
	else
		error_set(err, r, "out of memory");
	if (r < 0)
		return r;
	if (roster_build(found.listeners, found.n_listeners, found.holders, found.n_holders,
	                 &found.roster) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = found;
	memset(&found, 0, sizeof(found)); /* handed on */
	return 0;
}

/* The groups of one service must belong to one user: a group of another user on the same port is
 * another service. */
static int discover_check_owners(const struct discover_found *found, struct error *err)
{
	const struct roster_group *groups = found->roster.groups;
	char a[ENDPOINT_TEXT_MAX], b[ENDPOINT_TEXT_MAX];

	for (size_t g = 0; g < found->roster.n_groups; g++) {
		endpoint_format(&groups[g].endpoint, b, sizeof(b));
		if (groups[g].endpoint.uid != groups[0].endpoint.uid)
			return error_set(
			        err, -EPERM,
			        "%s belongs to uid %u and %s to uid %u, which can't be one "
			        "service; choose with --address",
			        endpoint_format(&groups[0].endpoint, a, sizeof(a)),
			        groups[0].endpoint.uid, b, groups[g].endpoint.uid);
		if (groups[g].n_unowned > 0)
			return discover_report_unowned(
			        &groups[g],
			        "`--workers N` attaches the N workers that can be seen, and the "
			        "others get no connection; or run reuseportd where all can be seen",
			        err);
	}
	return 0;
}

/* Whether each group has as many workers as the user asked for. */
static int discover_check_number(const struct discover_wanted *wanted,
                                 const struct discover_found *found, struct error *err)
{
	const struct roster *roster = &found->roster;
	bool differ = false, fewer = false;

	if (roster->n_workers > RPD_SLOT_MAX)
		return error_set(err, -E2BIG, "port %u has %zu workers; a service has at most %d",
		                 roster->groups[0].endpoint.port, roster->n_workers, RPD_SLOT_MAX);
	for (size_t g = 0; wanted->workers && g < roster->n_groups; g++) {
		/* Groups of the same size can still have different workers. */
		differ |= roster->groups[g].n_listeners != roster->groups[0].n_listeners ||
		          (roster->n_workers > wanted->workers &&
		           roster->groups[g].n_listeners < roster->n_workers);
		fewer |= roster->groups[g].n_listeners < wanted->workers;
	}
	differ |= fewer && roster->n_workers >= wanted->workers;
	if (differ) {
		discover_report_differ(wanted, roster, err);
		return DISCOVER_NOT_YET;
	}
	if (fewer) {
		discover_report_too_few(wanted, roster, err);
		return DISCOVER_NOT_YET;
	}
	if (!wanted->workers || roster->n_workers == wanted->workers)
		return DISCOVER_FOUND;
	return discover_report_too_many(wanted, roster, err);
}

/* The workers of one port, if they are what the user asked for. */
static int discover_try_port(const struct discover_wanted *wanted, struct discover_scene *scene,
                             size_t first, size_t n, struct discover_found *ret, struct error *err)
{
	_cleanup_discover_found_ struct discover_found found = {};
	int r = discover_build(wanted, scene, &scene->listeners[first], n, &found, err);

	if (r == 0)
		r = discover_check_owners(&found, err);
	if (r == 0)
		r = discover_check_number(wanted, &found, err);
	if (r != DISCOVER_FOUND)
		return r;
	*ret = found;
	memset(&found, 0, sizeof(found)); /* handed on */
	return DISCOVER_FOUND;
}

/* The number of listeners of the largest group of one port. */
static size_t discover_largest_group(const struct discover_scene *scene, size_t first, size_t n)
{
	size_t largest = 0, same = 0;

	for (size_t i = first; i < first + n; i++) {
		same = i > first && endpoint_equal(&scene->listeners[i].endpoint,
		                                   &scene->listeners[i - 1].endpoint)
		               ? same + 1
		               : 1;
		if (largest < same)
			largest = same;
	}
	return largest;
}

/* Whether a port fits when the user named none. Then a single listener fits only if the user asked
 * for one worker. The number comes first: examining a listener takes long. */
static bool discover_port_fits(const struct discover_wanted *wanted, struct discover_scene *scene,
                               size_t first, size_t n, struct discover_found *ret)
{
	_cleanup_discover_found_ struct discover_found found = {};
	struct error ignored;

	if (discover_largest_group(scene, first, n) < (wanted->workers ? wanted->workers : 2) ||
	    (wanted->pid &&
	     !discover_scene_holds(scene, wanted->pid, &scene->listeners[first], n)) ||
	    discover_try_port(wanted, scene, first, n, &found, &ignored) != DISCOVER_FOUND ||
	    (wanted->workers == 0 && found.roster.n_workers < 2))
		return false;
	*ret = found;
	memset(&found, 0, sizeof(found)); /* handed on */
	return true;
}

/* No port fits: lists all. Or @n_fit of them fit: lists those. @fits: by their first listener. */
static int discover_no_choice(const struct discover_wanted *wanted, struct discover_scene *scene,
                              const bool *fits, unsigned int n_fit, struct error *err)
{
	unsigned int listed = 0;

	discover_report_no_choice(wanted, scene, n_fit, err);
	for (size_t i = 0, n; i < scene->n_listeners; i += n) {
		n = discover_scene_port_length(scene, i);
		if (n_fit && !fits[i])
			continue;
		if (listed++ == DISCOVER_LISTED_MAX) {
			error_add(err, 0, "\n  and more");
			break;
		}
		discover_report_port(scene, i, n, err);
	}
	if (n_fit)
		return -ENOTUNIQ;
	discover_report_advice(scene, err);
	return DISCOVER_NOT_YET;
}

/* Without a port: chooses the one port that has the workers that were asked for. */
static int discover_choose_port(const struct discover_wanted *wanted, struct discover_scene *scene,
                                struct discover_found *ret, struct error *err)
{
	_cleanup_discover_found_ struct discover_found best = {};
	_cleanup_free_ bool *fits = calloc(scene->n_listeners, sizeof(*fits));
	unsigned int n_fit = 0;

	if (!fits)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0, n; i < scene->n_listeners; i += n) {
		struct discover_found found = {};

		n = discover_scene_port_length(scene, i);
		if (!discover_port_fits(wanted, scene, i, n, &found))
			continue;
		fits[i] = true;
		n_fit++;
		discover_found_free(&best);
		best = found;
	}
	if (discover_scene_is_full(scene))
		return discover_scene_full_error(err);
	if (n_fit != 1)
		return discover_no_choice(wanted, scene, fits, n_fit, err);
	*ret = best;
	memset(&best, 0, sizeof(best)); /* handed on */
	return DISCOVER_FOUND;
}

int discover_fingerprint(const struct discover_wanted *wanted, uint64_t *ret, struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	size_t n;
	int r = sockdiag_list_listeners(wanted->port, &listeners, &n, err);

	if (r < 0)
		return r;
	*ret = n;
	for (size_t i = 0; i < n; i++) /* cookies are given out in order, and only once */
		*ret = *ret * 31 + listeners[i].cookie;
	return 0;
}

int discover(const struct discover_wanted *wanted, struct discover_found *ret, struct error *err)
{
	_cleanup_discover_scene_ struct discover_scene scene = {};
	int r = discover_scene_read(wanted, &scene, err);

	if (r < 0)
		return r;
	if (scene.n_listeners == 0) {
		discover_report_no_listener(wanted, err);
		return DISCOVER_NOT_YET;
	}
	if (!wanted->port)
		return discover_choose_port(wanted, &scene, ret, err);
	if (wanted->pid &&
	    !discover_scene_holds(&scene, wanted->pid, scene.listeners, scene.n_listeners)) {
		error_set(err, -EAGAIN, "pid %u has no listener on port %u", wanted->pid,
		          wanted->port);
		return DISCOVER_NOT_YET;
	}
	return discover_try_port(wanted, &scene, 0, scene.n_listeners, ret, err);
}
