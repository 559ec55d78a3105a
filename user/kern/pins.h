/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The folder <bpffs>/reuseportd/<service>/ that holds a service's pinned maps and programs, and
 * the lock on it.
 *
 * The lock is flock() on that folder itself: it lives and dies with what it protects, the kernel
 * drops it when its holder dies, and there is no lock file to be left behind.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <limits.h>

#include "base/error.h"
#include <reuseportd/abi.h>

struct pins {
	char path[PATH_MAX]; /* of the service's folder */
	char service[RPD_LABEL_MAX];
	int fd; /* the locked folder, -1 = none */
};

#define PINS_NONE ((struct pins){.fd = -1})

/* A command takes some milliseconds; one that waits for another for longer than this says so. */
#define PINS_PATIENCE_MS 1000

/*
 * Is told that the lock of @service has been waited for for as long as patience lasts. Returns
 * whether to go on waiting; without, pins_lock() fails with -EBUSY.
 */
typedef bool (*pins_waiting_fn)(const char *service);

/* Sets who is told; NULL, as at first: nobody, and waiting goes on. */
void pins_set_waiting(pins_waiting_fn waiting, unsigned int patience_ms);

/* For those who do not go on waiting. */
bool pins_dont_wait(const char *service);

/* Names of all services, sorted; *ret is the caller's to free. None, without an error, if bpffs is
 * not mounted. */
int pins_list(char (**ret)[RPD_LABEL_MAX], size_t *ret_n, struct error *err);

/*
 * Opens and locks the folder of @service; waits for whoever holds the lock. With @create makes the
 * folder, and mounts bpffs, if need be. -ENOENT if there is no such service (@err is then set).
 */
int pins_lock(struct pins *pins, const char *service, bool create, struct error *err);

/* The same for an existing folder, without the lock: for a look that may be out of date. */
int pins_peek(struct pins *pins, const char *service, struct error *err);

/* Whether pins_remove() may take all that is in the folder: -EEXIST for a folder in it, and, unless
 * @force, for a pin that is not @is_ours. */
int pins_check(const struct pins *pins, bool (*is_ours)(const char *name), bool force,
               struct error *err);

/* Removes every pin in the folder, `last` (if not NULL) after all others, then the folder. */
int pins_remove(struct pins *pins, const char *last, struct error *err);

/* Path of one pin. Returns @buf. */
const char *pins_path(const struct pins *pins, const char *name, char buf[PATH_MAX]);

/* Drops the lock, and keeps the folder open for pins_relock(). */
void pins_leave(struct pins *pins);

enum pins_outcome {
	PINS_SAME = 0,
	PINS_REPLACED, /* the folder was removed, or there is another one of its name */
};

/* Locks the folder that pins_leave() has kept open; waits as pins_lock() does. Returns a
 * pins_outcome, or a negative errno. The folder is locked only with PINS_SAME. */
int pins_relock(struct pins *pins, struct error *err);

/* Drops the lock, and closes the folder. */
void pins_unlock(struct pins *pins);
