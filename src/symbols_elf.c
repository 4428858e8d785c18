/*
 * The table of symbols of an ELF program: it is in the file, not in memory, and
 * is mapped for as long as it takes to look at it. Nothing here takes a lock or
 * memory of the C library's, so that signal handlers may come here. What the
 * file says is checked before it is followed.
 */
#include "symbols.h"

#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
    const char *bytes;
    size_t size;
};

static const void *at(const struct image *image, uint64_t offset, uint64_t size)
{
    return offset <= image->size && size <= image->size - offset
               ? image->bytes + offset
               : NULL;
}

static bool map(struct image *image)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat about;
    void *bytes = MAP_FAILED;

    if (fd < 0)
        return false;
    if (!fstat(fd, &about) && about.st_size > 0)
        bytes =
            mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED)
        return false;
    image->bytes = bytes;
    image->size = (size_t)about.st_size;
    return true;
}

/* Where the program's address 0 is, if this address is in the program. */
static bool find_base(uintptr_t address, uintptr_t *base)
{
    const ElfW(Phdr) *headers = (const void *)getauxval(AT_PHDR);
    size_t n = getauxval(AT_PHNUM);

    *base = 0;
    for (size_t i = 0; headers && i < n; i++)
        if (headers[i].p_type == PT_PHDR)
            *base = (uintptr_t)headers - headers[i].p_vaddr;
    for (size_t i = 0; headers && i < n; i++)
        if (headers[i].p_type == PT_LOAD &&
            address - *base - headers[i].p_vaddr < headers[i].p_memsz)
            return true;
    return false;
}

/* The section of symbols, and that of their names; false: there is none. */
static bool find_table(const struct image *image, struct image *symbols,
                       struct image *names)
{
    const ElfW(Ehdr) *header = at(image, 0, sizeof *header);
    const ElfW(Shdr) *sections =
        header ? at(image, header->e_shoff,
                    (uint64_t)header->e_shnum * sizeof *sections)
               : NULL;

    for (size_t i = 0; sections && i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB ||
            sections[i].sh_link >= header->e_shnum)
            continue;

        const ElfW(Shdr) *strings = &sections[sections[i].sh_link];

        *symbols = (struct image){
            at(image, sections[i].sh_offset, sections[i].sh_size),
            sections[i].sh_size};
        *names = (struct image){at(image, strings->sh_offset, strings->sh_size),
                                strings->sh_size};
        return symbols->bytes && names->bytes;
    }
    return false;
}

static const ElfW(Sym) * search(const struct image *symbols, uintptr_t address)
{
    const ElfW(Sym) *symbol = (const void *)symbols->bytes;

    for (size_t n = symbols->size / sizeof *symbol; n; n--, symbol++)
        if ((symbol->st_info & 15) == STT_FUNC &&
            address - symbol->st_value < symbol->st_size)
            return symbol;
    return NULL;
}

bool task__symbols_find(struct sentence *name, uintptr_t address,
                        uintptr_t *offset)
{
    struct image image;
    struct image symbols;
    struct image names;
    uintptr_t base;
    bool found = false;

    if (!find_base(address, &base) || !map(&image))
        return false;
    if (find_table(&image, &symbols, &names)) {
        const ElfW(Sym) *symbol = search(&symbols, address - base);

        found = symbol && symbol->st_name < names.size;
        if (found) {
            task__say_part(name, names.bytes + symbol->st_name,
                           names.size - symbol->st_name);
            *offset = address - base - symbol->st_value;
        }
    }
    munmap((void *)(uintptr_t)image.bytes, image.size);
    return found;
}
