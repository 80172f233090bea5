// SPDX-License-Identifier: GPL-2.0
/*
 * nmem DEVICE: empties the label area of an NVDIMM (/dev/nmem0), so that namespaces can be made on it: two index blocks of
 * version 1.2, as in drivers/nvdimm/label.h. The kernel reads them when it binds the DIMM.
 */
#include <endian.h>
#include <fcntl.h>
#include <linux/ndctl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define ALIGN 256
#define LABEL 256

struct index {
	char sig[16];
	uint8_t flags[3];
	uint8_t labelsize;
	uint32_t seq;
	uint64_t myoff, mysize, otheroff, labeloff;
	uint32_t nslot;
	uint16_t major, minor;
	uint64_t checksum;
	uint8_t free[ALIGN - 72];
};

_Static_assert(sizeof(struct index) == ALIGN, "as on the media");

static uint64_t fletcher64(const void *from, size_t len)
{
	const uint32_t *word = from;
	uint64_t high = 0;
	uint32_t low = 0;

	for (size_t i = 0; i < len / sizeof(*word); i++) {
		low += le32toh(word[i]);
		high += low;
	}
	return high << 32 | low;
}

static int write_index(int fd, int number, uint32_t size)
{
	uint32_t slots = (size - 2 * ALIGN) / LABEL;
	struct {
		struct nd_cmd_set_config_hdr header;
		struct index index;
		uint32_t status;
	} command = {
		.header = { .in_offset = number * ALIGN, .in_length = ALIGN },
		.index = {
			.sig = "NAMESPACE_INDEX", .labelsize = 1, .seq = htole32(number + 1),
			.myoff = htole64(number * ALIGN), .mysize = htole64(ALIGN),
			.otheroff = htole64(ALIGN - number * ALIGN), .labeloff = htole64(2 * ALIGN),
			.nslot = htole32(slots), .major = htole16(1), .minor = htole16(2),
		},
	};

	if (slots > 8 * sizeof(command.index.free))
		return -1;
	for (uint32_t i = 0; i < slots; i++)
		command.index.free[i / 8] |= 1 << i % 8;
	command.index.checksum = htole64(fletcher64(&command.index, sizeof(command.index)));
	return ioctl(fd, ND_IOCTL_SET_CONFIG_DATA, &command) || command.status;
}

int main(int argc, char **argv)
{
	struct nd_cmd_get_config_size area = { 0 };
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;

	if (fd < 0 || ioctl(fd, ND_IOCTL_GET_CONFIG_SIZE, &area) || area.status ||
	    write_index(fd, 0, area.config_size) || write_index(fd, 1, area.config_size)) {
		perror("nmem");
		return 1;
	}
	return 0;
}
