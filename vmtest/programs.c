/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmtest_programs: loads all programs of compiled BPF objects into this kernel, also optional ones
 * (SEC("?...")) if the kernel accepts them. For each program it prints a line of JSON: the number
 * of instructions that the verifier processed, and its size.
 *
 * usage: vmtest_programs OBJECT...
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "kern/steer_queues.h"

static int programs_print_program(const char *object, const struct bpf_program *program)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) < 0) {
		fprintf(stderr, "%s: %s: %s\n", object, bpf_program__name(program),
		        strerror(errno));
		return -1;
	}
	printf("{\"object\":\"%.*s\",\"program\":\"%s\",\"verified_insns\":%u,"
	       "\"xlated_bytes\":%u,\"jited_bytes\":%u}\n",
	       (int)strcspn(object, "."), object, bpf_program__name(program), info.verified_insns,
	       info.xlated_prog_len, info.jited_prog_len);
	return 0;
}

/* Sets what user space sets before it loads the steering program: without that, the verifier would
 * remove a part of the program. */
static void programs_set_members(struct bpf_object *object, const struct rpd_members_at *members)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");
	const int id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	char *memory;
	size_t size;

	if (!map || !section)
		return;
	memory = (char *)bpf_map__initial_value(map, &size);
	for (unsigned int i = 0; i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *at = &btf_var_secinfos(section)[i];
		const struct btf_type *var = btf__type_by_id(btf, at->type);

		if (!strcmp(btf__name_by_offset(btf, var->name_off), "kernel_at"))
			memcpy(memory + at->offset, members, sizeof(*members));
	}
}

/* Returns NULL, with errno set, if the kernel refuses it. */
static struct bpf_object *programs_load(const char *path, bool with_optional)
{
	struct rpd_members_at members;
	struct bpf_object *object;
	struct bpf_program *program;

	steer_queues_find_members(&members);
	object = bpf_object__open_file(path, NULL);
	if (!object)
		return NULL;
	programs_set_members(object, &members);
	bpf_object__for_each_program(program, object) if (with_optional)
	        bpf_program__set_autoload(program, true);
	if (bpf_object__load(object) == 0)
		return object;
	bpf_object__close(object);
	return NULL;
}

static int programs_print_object(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct bpf_object *object = programs_load(path, true);
	struct bpf_program *program;
	int result = 0;

	if (!object)
		object = programs_load(path, false);
	if (!object) {
		fprintf(stderr, "%s: %s\n", name, strerror(errno));
		return -1;
	}
	bpf_object__for_each_program(program, object) if (bpf_program__autoload(program) &&
	                                                  programs_print_program(name, program) < 0)
	        result = -1;
	bpf_object__close(object);
	return result;
}

int main(int argc, char **argv)
{
	int status = EXIT_SUCCESS;

	for (int i = 1; i < argc; i++)
		if (programs_print_object(argv[i]) < 0)
			status = EXIT_FAILURE;
	return status;
}
