/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scope-bound ownership: a variable marked _cleanup_*_ releases what it owns at the end of its
 * scope. TAKE_FD and TAKE_PTR pass the ownership on. File descriptors start at -1.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)    __attribute__((cleanup(f)))
#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_free_  _cleanup_(cleanup_free)
#define _cleanup_file_  _cleanup_(cleanup_file)
#define _cleanup_dir_   _cleanup_(cleanup_dir)

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *_fd = &(fd);                                                                  \
		int _taken = *_fd;                                                                 \
		*_fd = -1;                                                                         \
		_taken;                                                                            \
	})

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *_p = &(p);                                                          \
		__typeof__(p) _taken = *_p;                                                        \
		*_p = NULL;                                                                        \
		_taken;                                                                            \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}
