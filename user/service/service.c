/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "kern/netns.h"
#include "kern/proc.h"
#include "kern/steer_probes.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "service/leftovers.h"
#include "service/service_remove.h"
#include "service/service_supervisor.h"
#include "service/unpinned.h"

void service_init(struct service *service)
{
	service->pins = PINS_NONE;
	service->reachable = false;
	service->locks = 0;
	service->opened = UINT32_MAX;
	service->grace = GRACE_NONE;
	steer_init(&service->steer);
	conns_init(&service->conns);
	groups_init(&service->groups);
	http_init(&service->http);
}

void service_close(struct service *service)
{
	grace_close(&service->grace);
	http_close(&service->http);
	groups_close(&service->groups);
	conns_close(&service->conns);
	steer_close(&service->steer);
	pins_unlock(&service->pins);
	service->locks = 0;
	service->opened = UINT32_MAX;
}

bool service_is_open(const struct service *service)
{
	return service->pins.fd >= 0 && service->steer.service;
}

bool service_is_run(const struct service *service)
{
	return service->steer.service->flags & RPD_SERVICE_RUN;
}

/* A process that was found in the namespace may end before we enter it: then look for another. */
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

/* A folder that can't be read is not known to be empty. */
static bool service_folder_is_empty(const char *path)
{
	_cleanup_dir_ DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			return false;
	return dir;
}

bool service_is_half_made(const struct service *service)
{
	const struct rpd_service *info = service->steer.service;

	return info ? info->magic == RPD_MAGIC && info->abi == RPD_ABI_VERSION &&
	                       info->stage != RPD_STAGE_READY
	            : service_folder_is_empty(service->pins.path);
}

int service_damaged_error(const struct service *service, struct error *err)
{
	return error_add(err, -EMEDIUMTYPE,
	                 ": service '%s' is damaged, or not one of reuseportd's; "
	                 "`reuseportd detach %s --force` removes its pins",
	                 service->pins.service, service->pins.service);
}

/* What a killed command, watcher or supervisor has left in a service that is complete. */
static void service_clean_up(struct service *service)
{
	if (service_is_run(service))
		steer_setup_remove_half_made(&service->steer, &service->pins);
	if (service_is_run(service) && !service_supervisor_pid(service))
		steer_probes_clear(&service->steer);
	if (service->http.half_made)
		http_detach(&service->http, &service->pins);
	/* Newcomers that were not in force yet, or former workers. */
	steer_socks_clear_all_idle(&service->steer);
}

/* Opens the pins in the locked folder, and rolls back a half-made service. Returns SERVICE_OPEN,
 * SERVICE_NONE or a negative errno. */
static int service_open_pinned(struct service *service, struct error *err)
{
	int r = steer_open_pins(&service->steer, &service->pins, err);

	if (service_is_half_made(service)) {
		r = service_remove(service, true, NULL, err);
		return r < 0 ? r : SERVICE_NONE;
	}
	if (r == STEER_DAMAGED)
		return service_damaged_error(service, err);
	if (r < 0)
		return r;
	conns_open(&service->conns, &service->steer, &service->pins);
	groups_open(&service->groups, &service->steer, &service->pins);
	http_open(&service->http, &service->pins);
	service_clean_up(service);
	r = service_enter_netns(service, err);
	return r < 0 ? r : SERVICE_OPEN;
}

/* The names of all complete services. Half-made ones are rolled back. */
static int service_list_complete(char (**ret)[RPD_LABEL_MAX], size_t *ret_n, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	size_t n, n_complete = 0;
	int r = pins_list_services(&names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		_cleanup_service_ struct service service;
		struct error ignored;

		service_init(&service);
		if (n > 1 && service_peek(&service, names[i], &ignored) < 0) {
			service_close(&service);
			if (service_try_open(&service, names[i], &ignored) == SERVICE_NONE)
				continue;
		}
		memmove(names[n_complete++], names[i], RPD_LABEL_MAX);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(names);
	*ret_n = n_complete;
	return 0;
}

/* Writes the name of the only service. Returns SERVICE_OPEN if there is exactly one, SERVICE_NONE
 * or a negative errno; sets @err unless there is one. */
static int service_find_only(char ret[RPD_LABEL_MAX], struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	size_t n;
	int r = service_list_complete(&names, &n, err);

	if (r < 0)
		return r;
	if (n == 0) {
		error_set(
		        err, -ENOENT,
		        "there is no service; `reuseportd run` or `reuseportd attach` creates one");
		return SERVICE_NONE;
	}
	if (n > 1) {
		error_usage(err, "there are several services, name one:");
		for (size_t i = 0; i < n; i++)
			error_add(err, 0, " %s", names[i]);
		return -EINVAL;
	}
	memcpy(ret, names[0], RPD_LABEL_MAX);
	return SERVICE_OPEN;
}

int service_only_name(char ret[RPD_LABEL_MAX], struct error *err)
{
	const int r = service_find_only(ret, err);

	if (r == SERVICE_NONE)
		unpinned_explain(err);
	return r == SERVICE_NONE ? -ENOENT : r;
}

/* Takes the lock of an existing service. Returns SERVICE_OPEN if the folder is locked. */
static int service_lock_folder(struct service *service, const char *name, struct error *err)
{
	const int r = pins_open_locked(&service->pins, name, false, err);

	service->locks = r == 0;
	if (r == PINS_NO_SERVICE)
		return SERVICE_NONE;
	return r == PINS_LOCKED ? SERVICE_LOCKED : r;
}

static int service_rolled_back_error(const struct service *service, const char *name,
                                     struct error *err)
{
	if (service->steer.service)
		error_set(err, -ENOENT,
		          "service '%s' was only half made by a command that was killed; the rest "
		          "has been removed: attach again",
		          name);
	else
		error_set(err, -ENOENT,
		          "service '%s' has no pins any more: a command was killed before it had "
		          "made the pins, or the pins were removed by hand; attach again",
		          name);
	return SERVICE_NONE;
}

int service_try_open(struct service *service, const char *name, struct error *err)
{
	char only[RPD_LABEL_MAX];
	int r = name ? SERVICE_OPEN : service_find_only(only, err);

	if (r == SERVICE_OPEN)
		r = service_lock_folder(service, name ? name : only, err);
	if (r != SERVICE_OPEN)
		return r;
	r = service_open_pinned(service, err);
	if (r == SERVICE_NONE)
		return service_rolled_back_error(service, name ? name : only, err);
	return r;
}

int service_open(struct service *service, const char *name, struct error *err)
{
	const int r = service_try_open(service, name, err);

	if (r == SERVICE_NONE) {
		unpinned_explain(err);
		return -ENOENT;
	}
	return r == SERVICE_LOCKED ? -EBUSY : r;
}

int service_claim(struct service *service, const char *name, struct error *err)
{
	for (;;) {
		int r = pins_open_locked(&service->pins, name, true, err);

		if (r != 0)
			return r == PINS_LOCKED ? SERVICE_LOCKED : r;
		service->locks = 1;
		if (service_folder_is_empty(service->pins.path))
			return SERVICE_NONE;
		r = service_open_pinned(service, err);
		if (r != SERVICE_NONE)
			return r;
		/* Rolled back, and the folder was removed with it. */
		service_close(service);
	}
}

int service_make_room(struct service *service, struct error *err)
{
	const char *name = service->pins.service;
	uint32_t supervisor = service_supervisor_pid(service), worker;
	char removed[RPD_LABEL_MAX];
	bool run;
	int r;

	if (supervisor)
		return error_set(err, -EEXIST,
		                 "service '%s' is run by pid %u already; `reuseportd status %s` "
		                 "shows it, `reuseportd stop %s` ends it; for another service "
		                 "give another name with --service",
		                 name, supervisor, name, name);
	if (leftovers_live(&service->steer, service->pins.service, &worker) &&
	    service_is_run(service))
		return error_set(err, -EEXIST,
		                 "the supervisor of service '%s' has died, and its workers still "
		                 "live (pid %u); the same `reuseportd run` command takes them "
		                 "over, `reuseportd stop %s` ends them; for another service give "
		                 "another name with --service",
		                 name, worker, name);
	if (leftovers_live(&service->steer, service->pins.service, &worker))
		return error_set(err, -EEXIST,
		                 "service '%s' is attached already; `reuseportd status %s` "
		                 "shows it, `reuseportd detach %s` ends it; for another "
		                 "service give another name with --service",
		                 name, name, name);
	run = service_is_run(service);
	memcpy(removed, name, sizeof(removed));
	r = service_remove(service, false, NULL, err);
	service_close(service);
	if (r >= 0 && run)
		leftovers_remove(removed);
	return r < 0 ? r : 0;
}

static int service_peek_with(struct service *service, const char *name,
                             int (*open)(struct steer *steer, const struct pins *pins,
                                         struct error *err),
                             struct error *err)
{
	int r = pins_open_unlocked(&service->pins, name, err);

	if (r != 0)
		return r == PINS_NO_SERVICE ? -ENOENT : r;
	r = open(&service->steer, &service->pins, err);
	if (r == STEER_DAMAGED)
		return -EMEDIUMTYPE;
	if (r == 0 && service_is_half_made(service))
		return error_set(err, -ENOENT, "service '%s' is half made", name);
	return r;
}

int service_peek(struct service *service, const char *name, struct error *err)
{
	return service_peek_with(service, name, steer_open_pins, err);
}

int service_peek_endpoints(struct service *service, const char *name, struct error *err)
{
	return service_peek_with(service, name, steer_open_service, err);
}
