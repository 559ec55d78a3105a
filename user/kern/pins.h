/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The folder <bpffs>/reuseportd/<service>/ that holds a service's pinned maps and programs, and
 * the lock on it.
 *
 * The lock is flock() on the folder itself: it lives and dies with what it protects, the kernel
 * drops it when its holder dies, and no lock file is left behind.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include <reuseportd/abi.h>

struct pins {
	char path[PATH_MAX]; /* of the service's folder */
	char service[RPD_LABEL_MAX];
	int fd; /* the open folder, -1 = none */
};

#define PINS_NONE ((struct pins){.fd = -1})

/* Positive results. @err is set as well, except with PINS_REPLACED. */
enum pins_result {
	PINS_NO_SERVICE = 1, /* no service has this name */
	PINS_LOCKED,         /* another command has the lock, and the caller doesn't wait longer */
	PINS_REPLACED,       /* the open folder was removed, or another one has its name */
};

/* A command holds the lock for some milliseconds. A command that has waited longer than this
 * reports the wait. */
#define PINS_PATIENCE_MS 1000

/* Called when the lock of @service was not free within the patience. Returns whether to go on
 * waiting; if not, pins_open_locked() returns PINS_LOCKED. */
typedef bool (*pins_waiting_fn)(const char *service);

/* Sets the function to call, and the patience: with 0 the lock is tried once. NULL, the default: no
 * call, and waiting goes on. */
void pins_set_waiting(pins_waiting_fn waiting, unsigned int patience_ms);

/* A pins_waiting_fn that always gives up. */
bool pins_never_wait(const char *service);

/* Lists the names of all services, sorted; the caller frees *ret. The list is empty if bpffs is not
 * mounted. */
int pins_list_services(char (**ret)[RPD_LABEL_MAX], size_t *ret_n, struct error *err);

/*
 * Opens and locks the folder of @service; waits for the lock. With @create makes the folder, and
 * mounts bpffs if necessary. Returns 0, PINS_NO_SERVICE, PINS_LOCKED or a negative errno.
 */
int pins_open_locked(struct pins *pins, const char *service, bool create, struct error *err);

/* Opens an existing folder without the lock, to read what may be out of date. Returns 0,
 * PINS_NO_SERVICE or a negative errno. */
int pins_open_unlocked(struct pins *pins, const char *service, struct error *err);

/* strerror(3), and what to do if the BPF file system can't be written to. */
const char *pins_why(int error);

/* Checks that pins_remove() may remove everything in the folder. -EEXIST if it contains a folder,
 * or, unless @force, a pin that @is_ours rejects. */
int pins_check_removable(const struct pins *pins, bool (*is_ours)(const char *name), bool force,
                         struct error *err);

/* Removes every pin in the folder, @last (if not NULL) after all others, then the folder. */
int pins_remove(struct pins *pins, const char *last, struct error *err);

/* Writes the path of one pin. Returns @buf. */
const char *pins_path(const struct pins *pins, const char *name, char buf[PATH_MAX]);

/* Drops the lock, and keeps the folder open for pins_relock(). */
void pins_leave(struct pins *pins);

/* Locks the folder that pins_leave() has kept open; waits as pins_open_locked() does. Returns 0,
 * PINS_LOCKED, PINS_REPLACED or a negative errno; with PINS_REPLACED the folder is not locked. */
int pins_relock(struct pins *pins, struct error *err);

/* Closes the folder, which drops the lock. */
void pins_unlock(struct pins *pins);
