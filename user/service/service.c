/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/grace.h"
#include "kern/netns.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"
#include "kern/proc_holders.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "kern/steer_probes.h"

void service_init(struct service *service)
{
	service->pins = PINS_NONE;
	service->reachable = false;
	service->locks = 0;
	service->n_opened = UINT_MAX;
	steer_init(&service->steer);
	conns_init(&service->conns);
}

void service_close(struct service *service)
{
	conns_close(&service->conns);
	steer_close(&service->steer);
	pins_unlock(&service->pins);
	service->locks = 0;
	service->n_opened = UINT_MAX;
}

bool service_is_open(const struct service *service)
{
	return service->pins.fd >= 0 && service->steer.service;
}

/* Who was found to keep the namespace may end before we are there: then it is another. */
int service_enter_netns(struct service *service, struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	uint64_t cookie, ino;
	uint32_t pid;
	int r = netns_identify(&cookie, &ino, err);

	service->reachable = r == 0 && cookie == info->netns_cookie;
	if (r < 0 || service->reachable)
		return r;
	do {
		if (proc_find_netns(info->netns_ino, &pid) < 0)
			return 0;
		r = proc_enter_netns(pid, err);
	} while (r == -ESRCH);
	if (r == 0)
		r = netns_identify(&cookie, &ino, err);
	/* An inode number is used again after the namespace is gone, a cookie never is. */
	service->reachable = r == 0 && cookie == info->netns_cookie;
	return r;
}

static bool service_folder_is_empty(const char *path)
{
	_cleanup_dir_ DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			return false;
	return true;
}

/* Whether attach or detach was killed while it worked on this service. */
static bool service_is_half_made(const struct service *service)
{
	const struct rpd_service *info = service->steer.service;

	return info ? info->magic == RPD_MAGIC && info->abi == RPD_ABI_VERSION &&
	                       info->stage != RPD_STAGE_READY
	            : service_folder_is_empty(service->pins.path);
}

/* The outcomes of kern as the errno that callers expect. */
static int service_code(int r)
{
	return r == PINS_NO_SERVICE ? -ENOENT : r == PINS_LOCKED ? -EBUSY : r;
}

/* Adds to what is wrong what it means. */
static int service_damaged_error(const struct service *service, struct error *err)
{
	return error_add(err, -EMEDIUMTYPE,
	                 ": service '%s' is damaged, or not one of reuseportd's; "
	                 "`reuseportd detach %s --force` removes what is there",
	                 service->pins.service, service->pins.service);
}

/* Opens what is pinned in the locked folder. Returns 1 if there is a complete service, 0 if there
 * is none, or none any more after what was half made has been rolled back. */
static int service_open_pinned(struct service *service, struct error *err)
{
	int r = steer_open_pins(&service->steer, &service->pins, err);

	if (service_is_half_made(service)) {
		r = service_remove(service, true, err);
		return r < 0 ? r : 0;
	}
	if (r == STEER_DAMAGED)
		return service_damaged_error(service, err);
	if (r < 0)
		return r;
	conns_open(&service->conns, &service->steer, &service->pins);
	if (service_is_run(service))
		steer_setup_remove_half_made(&service->steer, &service->pins);
	if (service_is_run(service) && !service_supervisor(service))
		steer_probes_clear(&service->steer);
	/* A watcher that was killed before the slots that it added were in force. */
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		steer_socks_clear_from(&service->steer, e,
		                       steer_schedule(&service->steer)->n_slots);
	r = service_enter_netns(service, err);
	return r < 0 ? r : 1;
}

/* Names of all services, less those that a killed command left half made: they are cleaned up. */
static int service_list_whole(char (**ret)[RPD_LABEL_MAX], size_t *ret_n, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	size_t n, whole = 0;
	int r = pins_list_services(&names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		_cleanup_service_ struct service service;
		struct error ignored;

		service_init(&service);
		if (n > 1 && service_peek(&service, names[i], &ignored) < 0) {
			service_close(&service);
			if (service_open(&service, names[i], &ignored) == -ENOENT)
				continue;
		}
		memmove(names[whole++], names[i], RPD_LABEL_MAX);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(names);
	*ret_n = whole;
	return 0;
}

/* The name of the only service. */
static int service_only_service(char ret[RPD_LABEL_MAX], struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	size_t n;
	int r = service_list_whole(&names, &n, err);

	if (r < 0)
		return r;
	if (n == 0)
		return error_set(err, -ENOENT,
		                 "there is no service; `reuseportd attach --workers N` makes one");
	if (n > 1) {
		error_usage(err, "there are several services, name one:");
		for (size_t i = 0; i < n; i++)
			error_add(err, 0, " %s", names[i]);
		return -EINVAL;
	}
	memcpy(ret, names[0], RPD_LABEL_MAX);
	return 0;
}

int service_open(struct service *service, const char *name, struct error *err)
{
	char only[RPD_LABEL_MAX];
	int r = name ? 0 : service_only_service(only, err);

	if (r < 0)
		return r;
	r = service_code(pins_open_locked(&service->pins, name ? name : only, false, err));
	if (r == 0) {
		service->locks = 1;
		r = service_open_pinned(service, err);
	}
	if (r == 0)
		return error_set(err, -ENOENT,
		                 service->steer.service
		                         ? "service '%s' was left half made by a command that was "
		                           "killed; it has been cleaned up, attach again"
		                         : "service '%s' has no pins any more: a command was "
		                           "killed before it had made them, or somebody has "
		                           "removed them; attach again",
		                 name ? name : only);
	return r < 0 ? r : 0;
}

int service_claim(struct service *service, const char *name, struct error *err)
{
	for (;;) {
		int r = service_code(pins_open_locked(&service->pins, name, true, err));

		service->locks = r == 0;
		if (r < 0 || service_folder_is_empty(service->pins.path))
			return r;
		r = service_open_pinned(service, err);
		if (r != 0)
			return r;
		/* Rolled back, and the folder with it. */
		service_close(service);
	}
}

/* Whether all that was admitted to a service is gone, so that removing it loses nothing. */
static bool service_all_dead(const struct service *service)
{
	const struct rpd_service *info = service->steer.service;

	for (unsigned int slot = 0; slot < steer_schedule(&service->steer)->n_slots; slot++)
		for (unsigned int e = 0; e < info->n_endpoints; e++)
			if (steer_socks_cookie(&service->steer, e, slot))
				return false;
	return true;
}

int service_make_room(struct service *service, struct error *err)
{
	const char *name = service->pins.service;
	uint32_t supervisor = service_supervisor(service);
	int r;

	if (supervisor)
		return error_set(err, -EEXIST,
		                 "service '%s' is run by pid %u already; `reuseportd status %s` "
		                 "shows it, `reuseportd stop %s` ends it; for another service "
		                 "give another name by --service",
		                 name, supervisor, name, name);
	if (!service_all_dead(service))
		return error_set(err, -EEXIST,
		                 "service '%s' is attached already; `reuseportd status %s` "
		                 "shows it, `reuseportd detach %s` ends it; for another "
		                 "service give another name by --service",
		                 name, name, name);
	r = service_remove(service, false, err);
	service_close(service);
	return r < 0 ? r : 0;
}

int service_peek(struct service *service, const char *name, struct error *err)
{
	int r = service_code(pins_open_unlocked(&service->pins, name, err));

	if (r == 0)
		r = steer_open_pins(&service->steer, &service->pins, err);
	if (r == STEER_DAMAGED)
		r = -EMEDIUMTYPE;
	if (r == 0 && service_is_half_made(service))
		r = error_set(err, -ENOENT, "service '%s' is half made", name);
	return r;
}

/* Some process that has one of these listeners open, and which. */
static int service_borrow_any(const struct listener *listeners, size_t n, struct error *err)
{
	_cleanup_free_ struct holder *holders = NULL;
	size_t n_holders;
	int r = proc_holders_find(listeners, n, &holders, &n_holders, err);

	if (r == 0)
		r = error_set(err, -EPERM,
		              "port %u: no process that has a listener open can be seen in /proc "
		              "(another PID namespace?); run reuseportd where it can be seen",
		              listeners[0].endpoint.port);
	for (size_t i = 0; r < 0 && i < n_holders; i++)
		r = proc_duplicate_fd(holders[i].pid, holders[i].fd, holders[i].inode, err);
	return r;
}

/* No process is in the workers' network namespace. It is gone, or they can't be seen: then some of
 * their listeners are still in their slots. */
static int service_unreachable_error(const struct service *service, unsigned int endpoint,
                                     struct error *err)
{
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		if (steer_socks_cookie(&service->steer, endpoint, slot))
			return error_set(
			        err, -EPERM,
			        "no process of the workers' network namespace can be seen in "
			        "/proc (another PID namespace?); run reuseportd where they "
			        "can be seen");
	return error_set(err, -ENOENT, "the workers' network namespace is gone");
}

int service_borrow_member(const struct service *service, unsigned int endpoint, struct error *err)
{
	const struct rpd_endpoint *it = &service->steer.service->endpoints[endpoint];
	_cleanup_free_ struct listener *listeners = NULL;
	char text[ENDPOINT_TEXT_MAX];
	size_t n, members = 0;
	int r;

	if (!service->reachable)
		return service_unreachable_error(service, endpoint, err);
	r = sockdiag_list_listeners(it->port, &listeners, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (endpoint_equal(&listeners[i].endpoint, it))
			listeners[members++] = listeners[i];
	if (members == 0)
		return error_set(err, -ENOENT, "nothing listens on %s any more",
		                 endpoint_format(it, text, sizeof(text)));
	return service_borrow_any(listeners, members, err);
}

/* A member of each group, to take the program off it; -ENOENT for a group that has none any more,
 * and so no program either. */
static int service_borrow_members(struct service *service, int fds[RPD_ENDPOINT_MAX],
                                  struct error *err)
{
	int r = service_enter_netns(service, err);

	for (unsigned int i = 0; i < service->steer.service->n_endpoints; i++)
		fds[i] = -EPERM; /* until it is known better */
	for (unsigned int i = 0; r == 0 && i < service->steer.service->n_endpoints; i++) {
		fds[i] = service_borrow_member(service, i, err);
		if (fds[i] < 0 && fds[i] != -ENOENT)
			r = fds[i];
	}
	return r;
}

/* The same where the pinned maps don't tell the endpoints any more: by the listeners that are in
 * the pinned socket arrays. */
static void service_borrow_by_slots(struct service *service, int fds[RPD_ENDPOINT_MAX])
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct steer *steer = &service->steer;
	struct error ignored;
	size_t n = 0;

	sockdiag_list_listeners(0, &listeners, &n, &ignored);
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		for (unsigned int slot = 0; slot < RPD_SLOT_MAX && fds[e] < 0; slot++) {
			uint64_t cookie =
			        steer->socks_fd[e] < 0 ? 0 : steer_socks_cookie(steer, e, slot);

			if (cookie)
				fds[e] = -EPERM; /* until it is found */
			for (size_t i = 0; cookie && fds[e] < 0 && i < n; i++)
				if (listeners[i].cookie == cookie)
					fds[e] = service_borrow_any(&listeners[i], 1, &ignored);
		}
}

/* Takes the program off the groups of which @fds are members, and their listeners out of the slots.
 * A group that could not be reached keeps both: with its slots emptied it would refuse connections.
 * That they are out when we are done matters to the next attach: the kernel frees a socket array,
 * and lets go of its sockets, some time after its last pin is gone. Not before the last run of the
 * program has ended: it would find nobody, and with --strict refuse the connection. */
static void service_release_listeners(struct service *service, const int fds[RPD_ENDPOINT_MAX])
{
	_cleanup_grace_ struct grace grace = GRACE_NONE;
	bool attached = false;
	struct error ignored;

	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++)
		if (fds[i] >= 0) {
			steer_detach(fds[i]); /* fails only if there is no program */
			attached = true;
		}
	if (attached && grace_prepare(&grace, &ignored) == 0)
		grace_wait(&grace, &ignored);
	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++)
		if (fds[i] >= 0 || fds[i] == -ENOENT)
			steer_socks_clear_from(&service->steer, i, 0);
}

static bool service_is_pin(const char *name)
{
	return steer_is_pin(name) || conns_is_pin(name);
}

/* All that can fail comes before anything is changed. While the slots are being filled no program
 * of ours is attached, and one that is there is another service's: that is why filling failed. */
int service_remove(struct service *service, bool force, struct error *err)
{
	struct rpd_service *info = service->steer.service;
	int fds[RPD_ENDPOINT_MAX], left = 0;
	int r = pins_check_removable(&service->pins, service_is_pin, force, err);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++)
		fds[i] = -ENOENT;
	steer_open_arrays(&service->steer, &service->pins);
	if (!info) {
		service_borrow_by_slots(service, fds);
	} else if (info->stage != RPD_STAGE_FILLING) {
		r = service_borrow_members(service, fds, err);
		if (r == 0 || force)
			__atomic_store_n(&info->stage, RPD_STAGE_REMOVING, __ATOMIC_RELEASE);
	}
	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++)
		left |= fds[i] < 0 && fds[i] != -ENOENT;
	if (r == 0 || force) {
		service_release_listeners(service, fds);
		r = pins_remove(&service->pins, STEER_FIRST_PIN, err);
	}
	for (unsigned int i = 0; i < RPD_ENDPOINT_MAX; i++)
		cleanup_close(&fds[i]);
	return r < 0 ? r : left;
}

int service_detach(const char *name, bool force, char ret_name[RPD_LABEL_MAX], struct error *err)
{
	_cleanup_service_ struct service service;
	char only[RPD_LABEL_MAX];
	int r = name ? 0 : service_only_service(only, err);

	service_init(&service);
	if (r < 0)
		return r;
	r = service_code(pins_open_locked(&service.pins, name ? name : only, false, err));
	if (r < 0)
		return r;
	memcpy(ret_name, service.pins.service, RPD_LABEL_MAX);
	r = steer_open_pins(&service.steer, &service.pins, err);
	if (r != 0 && !force && !service_is_half_made(&service))
		return r == STEER_DAMAGED
		               ? service_damaged_error(&service, err)
		               : error_add(err, r,
		                           "\n`reuseportd detach %s --force` removes it all "
		                           "the same",
		                           service.pins.service);
	if (r == 0 && service_supervisor(&service))
		return error_set(err, -EBUSY,
		                 "service '%s' is run by pid %u: use `reuseportd stop %s`, which "
		                 "ends it with its workers",
		                 service.pins.service, service_supervisor(&service),
		                 service.pins.service);
	if (r == 0 && !force && service_is_run(&service) && !service_is_half_made(&service))
		return error_set(err, -EBUSY,
		                 "service '%s' is one that is run: use `reuseportd stop %s`, which "
		                 "ends it with the workers that are left; `reuseportd detach %s "
		                 "--force` would leave them there, with nobody who knows of them",
		                 service.pins.service, service.pins.service, service.pins.service);
	return service_remove(&service, force, err);
}
