/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_lock.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kern/steer_setup.h"

/* When a pin was last added to the folder or removed from it. bpffs sets the folder's time of
 * modification to that of the kernel's last tick, as other file systems do (bpf_dentry_finalize(),
 * simple_unlink()). */
static struct timespec service_lock_read_changed(const struct service *service)
{
	struct stat st;

	return fstat(service->pins.fd, &st) == 0 ? st.st_mtim : (struct timespec){};
}

/* Whether what is open is what is pinned. Endpoints are compared as well: two changes within one
 * tick leave the same time. */
static bool service_lock_is_unchanged(const struct service *service)
{
	const struct timespec changed = service_lock_read_changed(service);

	return service->opened == service->steer.service->endpoint_changes &&
	       service->steer.service->stage == RPD_STAGE_READY &&
	       changed.tv_sec == service->changed.tv_sec &&
	       changed.tv_nsec == service->changed.tv_nsec;
}

static void service_lock_note_opened(struct service *service)
{
	service->opened = service->steer.service->endpoint_changes;
	service->changed = service_lock_read_changed(service);
}

/* Whether pins of a service that is not being removed are to be there: the caller is its
 * supervisor.
 * (`stop` and `detach` set another stage before they remove a pin.) */
static bool service_lock_must_exist(const struct service *service)
{
	return service_is_open(service) && service_is_run(service) &&
	       service->steer.service->stage == RPD_STAGE_READY &&
	       service->steer.service->supervisor_pid == (uint32_t)getpid();
}

/* Pins again what was removed by hand, from what is open. @locked: the folder is locked, and has
 * its name. */
static int service_lock_restore_pins(struct service *service, bool locked, struct error *err)
{
	char name[RPD_LABEL_MAX];
	int r = 0;

	if (!locked) {
		memcpy(name, service->pins.service, sizeof(name));
		pins_unlock(&service->pins);
		r = pins_open_locked(&service->pins, name, true, err);
	}
	if (r == 0)
		r = steer_setup_pin_missing(&service->steer, &service->pins, err);
	if (r != 0)
		return r;
	conns_pin_missing(&service->conns, &service->pins); /* else they are not counted */
	groups_pin_missing(&service->groups, &service->steer, &service->pins);
	http_pin_missing(&service->http, &service->pins);
	return 0;
}

/* The first lock of the process: others may have changed the service. */
static int service_lock_outermost(struct service *service, struct error *err)
{
	char name[RPD_LABEL_MAX];
	int r = service_is_open(service) ? pins_relock(&service->pins, err) : PINS_REPLACED;

	if (r < 0)
		return r;
	if (r == PINS_LOCKED)
		return SERVICE_LOCKED;
	if (r == 0 && service_lock_is_unchanged(service)) {
		http_forget_full(&service->http);
		r = service_enter_netns(service, err);
		if (r < 0)
			pins_leave(&service->pins);
		return r;
	}
	if (service_lock_must_exist(service)) {
		r = service_lock_restore_pins(service, r == 0, err);
		if (r != 0) {
			pins_leave(&service->pins);
			return r < 0 ? r : SERVICE_LOCKED;
		}
	}
	memcpy(name, service->pins.service, sizeof(name));
	service_close(service);
	r = service_try_open(service, name, err);
	if (r == SERVICE_OPEN)
		service_lock_note_opened(service);
	else
		service_close(service);
	service->locks = 0; /* service_lock_try() counts */
	return r == SERVICE_NONE ? -ENOENT : r;
}

int service_lock_try(struct service *service, struct error *err)
{
	const int r = service->locks ? SERVICE_OPEN : service_lock_outermost(service, err);

	service->locks += r == SERVICE_OPEN;
	return r;
}

int service_lock(struct service *service, struct service **ret, struct error *err)
{
	const int r = service_lock_try(service, err);

	*ret = r == SERVICE_OPEN ? service : NULL;
	return r == SERVICE_LOCKED ? -EBUSY : r;
}

/* Pins that this process has changed itself are open already. Otherwise the recorded time stays, so
 * that the next lock finds what others have changed without the lock. */
void service_unlock(struct service *service)
{
	if (service->locks == 0 || --service->locks > 0)
		return;
	if (service->opened != service->steer.service->endpoint_changes)
		service_lock_note_opened(service);
	pins_leave(&service->pins);
}
