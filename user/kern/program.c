/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/program.h"

#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"

static bool program_get_info(int fd, struct bpf_prog_info *ret)
{
	uint32_t size = sizeof(*ret);

	*ret = (struct bpf_prog_info){};
	return fd >= 0 && bpf_obj_get_info_by_fd(fd, ret, &size) == 0;
}

uint32_t program_id(int fd)
{
	struct bpf_prog_info info;

	return program_get_info(fd, &info) ? info.id : 0;
}

bool program_name(uint32_t id, char ret[PROGRAM_NAME_MAX])
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info;

	if (!program_get_info(fd, &info) || !info.name[0])
		return false;
	memcpy(ret, info.name, PROGRAM_NAME_MAX);
	ret[PROGRAM_NAME_MAX - 1] = '\0';
	return true;
}

bool program_is_missing(uint32_t id)
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);

	return fd < 0 && errno == ENOENT;
}
