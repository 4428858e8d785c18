"""gdb commands for programs that use libtask, alive or out of a core.

    info tasks                  the tasks of all loops of all threads
    task ID                     one of them
    task ID COMMAND             a command of gdb's in the frames of that task:
                                bt, bt full, info locals, frame function F ...
    task apply ID... COMMAND    the same in several; ranges: 3-5
    task apply all COMMAND
    task gcore [FILE]           gcore, with the stacks

An ID is a task's number, or where several loops have that number,
LOOP.NUMBER. The frames of a parked task are shown behind frame 0, which is
the thread's own: gdb starts every backtrace there.

Needs the program's symbols, but no debug info: where the fields are, the
library tells in task__debugger. Only reads memory. It may stop the program
anywhere, so what it reads may be half changed: whatever cannot be read is
left out, and no list is followed for ever.
"""

import re
import signal
import struct

import gdb
import gdb.unwinder

MANY = 10_000_000  # the longest list that is believed
FOREVER = 100 * 365 * 86400 * 10**9

# Where glibc's ucontext_t keeps what a call keeps. On AArch64 swapcontext goes
# on within itself, and finds in x1 where to return to.
UCONTEXT = {
    "i386:x86-64": {"r12": 72, "r13": 80, "r14": 88, "r15": 96, "rbp": 120,
                    "rbx": 128, "rsp": 160, "rip": 168},
    "aarch64": {**{f"x{i}": 184 + 8 * i for i in range(19, 30)},
                "x30": 192, "sp": 432, "pc": 440},
}
# Of each processor: the names of stack pointer, frame pointer, program counter.
NATIVE = {
    "i386:x86-64": ("rsp", "rbp", "rip"),
    "aarch64": ("sp", "x29", "pc"),
}
THREAD_POINTER = {"i386:x86-64": "fs_base", "aarch64": "tpidr"}


class Unreadable(Exception):
    """Memory that is not there, or makes no sense."""


class Memory:
    """The inferior's memory, and the numbers that the library tells."""

    def __init__(self):
        try:
            address = int(gdb.parse_and_eval(
                "(unsigned long)&task__debugger"))
        except gdb.error:
            raise gdb.GdbError("There is no libtask in this program, or its "
                               "symbols were stripped: no task__debugger.")
        self.size = gdb.lookup_type("char").pointer().sizeof
        big = "big" in gdb.execute("show endian", to_string=True)
        self.order = ">" if big else "<"
        self.format = self.order + ("Q" if self.size == 8 else "I")
        self.loops = address
        try:
            self.numbers = self.read_numbers(address + 2 * self.size)
        except Unreadable:
            raise gdb.GdbError("task__debugger cannot be read: the program "
                               "has to run, or a core is needed.")

    def read_numbers(self, address):
        numbers = {}
        table, n = self.word(address), self.word(address + self.size)
        if n > 1000:
            raise Unreadable
        for at in range(table, table + 40 * n, 40):
            name, value = self.read_number(at)
            numbers[name] = value
        return numbers

    def read_number(self, address):
        data = self.read(address, 40)
        name = data[:36].split(b"\0")[0].decode("ascii", "replace")
        return name, self.unpack("I", data, 36)

    def numbers_of(self, kind):
        """Those that a way of waiting has of its own."""
        numbers = {}
        at = self.field(kind, "wait_kind.numbers")
        while at and len(numbers) < 10:
            name, value = self.read_number(at)
            if not name:
                break
            numbers[name] = value
            at += 40
        return numbers

    def __getitem__(self, name):
        return self.numbers[name]

    def read(self, address, n):
        try:
            return bytes(gdb.selected_inferior().read_memory(address, n))
        except (gdb.error, OverflowError, ValueError):
            raise Unreadable from None

    def unpack(self, code, data, at):
        return struct.unpack_from(self.order + code, data, at)[0]

    def word(self, address):
        return struct.unpack(self.format, self.read(address, self.size))[0]

    def field(self, address, name):
        """A field of the size of a pointer."""
        return self.word(address + self[name])

    def number(self, address, name, code):
        """A field of another size, as struct's code for it says."""
        data = self.read(address + self[name], struct.calcsize("=" + code))
        return self.unpack(code, data, 0)

    def string(self, address, limit=200):
        """A string, cut off where it is long or cannot be read."""
        text = b""
        while address and len(text) < limit and b"\0" not in text:
            # No further than memory that ends with a page.
            text += self.read(address + len(text), 64 - address % 64
                              if not text else 64)
        return text.split(b"\0")[0][:limit].decode("utf-8", "replace")

    def list(self, address):
        """The nodes of a struct list."""
        node = self.field(address, "list.first")
        seen = set()
        while node and node not in seen and len(seen) < MANY:
            yield node
            seen.add(node)
            node = self.field(node, "list_node.next")


class Task:
    """A task or a future, as it was read."""

    def __init__(self, memory, loop, address, data):
        def word(name):
            return struct.unpack_from(memory.format, data, memory[name])[0]

        self.memory = memory
        self.loop = loop
        self.address = address
        self.number = memory.unpack("Q", data, memory["task.id"])
        flags = memory.unpack("I", data, memory["task.flags"])
        self.is_done = bool(flags & memory["task.flags.done"])
        self.is_future = bool(flags & memory["task.flags.future"])
        self.cancelling = memory.unpack("I", data, memory["task.cancelling"])
        self.line = memory.unpack("I", data, memory["task.place"]) & 0xFFFFFF
        self.waiter = word("task.waiter")
        self.stack = word("task.stack")
        self.fn = word("task.fn")
        self.name_at = word("task.name")
        self.file_at = word("task.file")
        self.context = address + memory["task.context"]
        # A new one's context points to itself.
        self.is_new = word("task.context") == self.context
        self.thread = None  # that runs it
        self.low = self.top = self.size = 0
        self.find_stack()

    def find_stack(self):
        """The range of its stack, which is empty if it has none."""
        memory = self.memory
        if self.is_done or self.is_future or self.is_new:
            return
        try:
            slab = memory.field(self.stack, "stack.slab")
            stacks = memory.field(slab, "stack_slab.stacks")
            self.size = memory.field(stacks, "stacks.size")
            page = memory.field(stacks, "stacks.page")
            self.top = memory.field(self.stack, "stack.top")
        except Unreadable:
            return
        if page:
            end = (self.top + page - 1) // page * page
            self.low = end - page - self.size

    def owns_address(self, address):
        return self.low <= address < self.top

    def id(self):
        return f"{self.loop.number}.{self.number}"

    def read_string(self, address):
        try:
            text = self.memory.string(address)
            return "".join(c if c.isprintable() else "?" for c in text)
        except Unreadable:
            return ""

    def name(self):
        return self.read_string(self.name_at) or f"task-{self.number}"

    def called(self):
        """How others name it."""
        kind = "future" if self.is_future else "task"
        name = self.read_string(self.name_at)
        return f'{kind} {self.number}' + (f' "{name}"' if name else "")

    def created_at(self):
        file = self.read_string(self.file_at).rpartition("/")[2]
        return f"{file}:{self.line}" if file else ""

    def state(self):
        if self.thread:
            return "running"
        if self.is_new:
            return "new"
        return f"parked {self.time_parked()}" if self.waiter else "ready"

    def time_parked(self):
        try:
            since = self.memory.number(self.waiter, "waiter.since", "q")
            return f"{(self.loop.now() - since) / 1e9:.4g} s"
        except Unreadable:
            return "?"

    def registers(self):
        """By name, what they were when it parked."""
        memory = self.memory
        arch = architecture()
        sp = memory.field(self.context, "context.sp")
        if "context.resume" in memory.numbers:
            if arch not in NATIVE:
                raise gdb.GdbError(f"Unknown processor {arch}.")
            values = (sp, memory.field(self.context, "context.fp"),
                      memory.field(self.context, "context.resume"))
            return dict(zip(NATIVE[arch], values))
        if arch not in UCONTEXT:
            raise gdb.GdbError(f"The ucontext_t of {arch} is not known.")
        return {name: memory.word(sp + offset)
                for name, offset in UCONTEXT[arch].items()}

    def stack_use(self):
        """Its present depth and its size, in KiB."""
        try:
            if self.thread:
                sp = self.thread_sp
            elif self.is_new:
                return ""
            else:
                sp = self.registers()[stack_pointer()]
        except (Unreadable, gdb.GdbError):
            return "?"
        if not self.owns_address(sp):
            return "?"
        return f"{(self.top - sp) / 1024:.1f}/{self.size >> 10} KiB"

    def function(self):
        return "" if self.is_future else symbol(self.fn)

    def waits_for(self):
        """In words; empty if it does not wait, or that cannot be read."""
        memory = self.memory
        if not self.waiter or self.thread:
            return ""
        try:
            kind = memory.field(self.waiter, "waiter.kind")
            text = memory.string(memory.field(kind, "wait_kind.verb"))
            queue = memory.field(self.waiter + memory["waiter.node"],
                                 "list_node.list")
            text += (self.described(memory.numbers_of(kind), queue)
                     or self.awaited(text, queue)) + self.time_left()
        except Unreadable:
            return "(unreadable)"
        return text

    def described(self, numbers, queue):
        """A process or signals, by the numbers of such a wait."""
        memory = self.memory
        if "task_process.waiters" in numbers:
            process = queue - numbers["task_process.waiters"]
            pid = memory.read(process + numbers["task_process.child.pid"], 4)
            return f" {memory.unpack('i', pid, 0)}"
        if "signal_waiter.set" in numbers:
            at = memory.word(self.waiter + numbers["signal_waiter.set"])
            bits = 8 * memory.size
            words = [memory.word(at + i * memory.size)
                     for i in range(64 // bits)]
            signals = [signal_name(i * bits + bit + 1)
                       for i, word in enumerate(words)
                       for bit in range(bits) if word >> bit & 1]
            more = f" or {len(signals) - 8} more" if len(signals) > 8 else ""
            return " " + " or ".join(signals[:8]) + more
        return ""

    def awaited(self, verb, queue):
        """Whom or what it waits for."""
        memory = self.memory
        tasks = self.loop.awaited_by.get(self.waiter, [])
        if verb.endswith(" lock"):
            lock = queue - memory["task_lock.waiters"]
            owner = memory.field(lock, "task_lock.owner")
            held = f" {symbol(lock) or hex(lock)} held by "
            if owner in self.loop.tasks:
                return held + self.loop.tasks[owner].called()
        if tasks:
            more = f" and {len(tasks) - 8} more" if len(tasks) > 8 else ""
            return " " + ", ".join(t.called() for t in tasks[:8]) + more
        if not queue or self.loop.has_address(queue):
            return ""
        fd = self.loop.find_descriptor(queue - memory["descriptor.waiters"])
        if fd is not None:
            return f" descriptor {fd}"
        return f" {symbol(queue) or hex(queue)}"

    def time_left(self):
        memory = self.memory
        timer = memory.field(self.waiter, "waiter.timer")
        if not timer:
            return ""
        when = memory.number(timer, "timer.when", "q")
        left = when - self.loop.now()
        return f", {left / 1e9:.6g} s more" if left < FOREVER else ""


class Loop:
    """A loop, and its tasks by address."""

    def __init__(self, memory, address, number):
        self.memory = memory
        self.address = address
        self.number = number
        self.thread = None  # that runs it
        self.tasks = {}
        self.awaited_by = {}  # tasks, by the waiter of the one that waits
        self.current = self.errno_at = 0
        try:
            self.current = memory.field(address, "loop.scheduler.current")
            self.errno_at = memory.field(address,
                                         "loop.scheduler.errno_location")
            self.is_running = memory.number(address, "loop.running", "B")
            self.read_tasks()
            self.find_awaited()
        except Unreadable:
            pass

    def has_address(self, address):
        return 0 <= address - self.address < self.memory["loop"]

    def now(self):
        """A virtual clock's time, or when the world was last looked at."""
        is_virtual = self.memory.number(self.address, "loop.clock.is_virtual",
                                        "B")
        name = "loop.clock.now" if is_virtual else "loop.resumed_at"
        return self.memory.number(self.address, name, "q")

    def find_descriptor(self, address):
        """The number of the descriptor that is there, or None."""
        memory = self.memory
        poller = memory.field(self.address, "loop.poller")
        chunks = memory.field(poller, "poller.descriptors.chunks")
        n = memory.number(poller, "poller.descriptors.n_chunks", "I")
        for i in range(min(n, MANY)):
            chunk = memory.word(chunks + i * memory.size)
            place, rest = divmod(address - chunk, memory["descriptor"])
            if not rest and 0 <= place < memory["descriptors.chunk"]:
                return i * memory["descriptors.chunk"] + place
        return None

    def live(self):
        """The tasks that have not ended, in the order of creation."""
        live = (t for t in self.tasks.values()
                if not t.is_done and not t.is_future)
        return sorted(live, key=lambda task: task.number)

    def read_tasks(self):
        memory = self.memory
        size = memory["chunk"]
        stride = memory.field(self.address, "loop.task_pool.stride")
        if not 0 < stride < size:
            raise Unreadable
        chunks = self.address + memory["loop.task_pool.chunks"]
        for node in memory.list(chunks):
            chunk = node - memory["chunk.node"]
            data = memory.read(chunk, size)
            first = memory.field(chunk, "chunk.first") - chunk
            if first < 0:
                continue
            for at in range(first, size - stride + 1, stride):
                self.read_task(chunk + at, data[at:at + stride])

    def read_task(self, address, data):
        # The last word says in its lowest bit whether the task is in use.
        trailer = struct.unpack_from(self.memory.format, data,
                                     len(data) - self.memory.size)[0]
        if trailer & 1:
            self.tasks[address] = Task(self.memory, self, address, data)

    def find_awaited(self):
        """Who watches a task, and waits for its end."""
        waiters = {t.waiter for t in self.tasks.values() if t.waiter}
        for task in sorted(self.tasks.values(), key=lambda t: t.number):
            try:
                self.find_awaiters(task, waiters)
            except Unreadable:
                pass

    def find_awaiters(self, task, waiters):
        """A watcher lies behind its waiter; or has, behind itself, a pointer
        to what begins with it, or to the group that it is the owner of."""
        memory = self.memory
        list_at = task.address + memory["task.watchers"]
        for node in memory.list(list_at):
            candidates = [node - memory["waiter"]]
            try:
                after = node + memory["watcher"]
                candidates.append(memory.word(after))
                group = memory.word(after + 3 * memory.size)
                candidates.append(memory.field(group, "task_group.waiter"))
            except Unreadable:
                pass
            for waiter in candidates:
                if waiter in waiters:
                    self.awaited_by.setdefault(waiter, []).append(task)
                    break


def architecture():
    name = gdb.selected_inferior().architecture().name()
    return "aarch64" if name.startswith("aarch64") else name


def stack_pointer():
    return NATIVE.get(architecture(), ("sp",))[0]


def signal_name(number):
    """As the library calls it."""
    if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        return str(number)
    return "SIGPOLL" if name == "SIGIO" else name


def symbol(address):
    """The name of what is there, with an offset; or an empty string."""
    text = gdb.execute(f"info symbol {address}", to_string=True)
    match = re.match(r"(.*?)( \+ (\d+))? in section", text)
    if not match:
        return ""
    name = match.group(1)
    return f"{name}+{match.group(3)}" if match.group(3) else name


class Place:
    """The thread and frame that are selected, to come back to."""

    def __init__(self):
        self.thread = gdb.selected_thread()
        if not self.thread or not self.thread.is_valid():
            raise gdb.GdbError("No process and no core.")
        self.level = 0
        frame = gdb.selected_frame().newer()
        while frame:
            self.level += 1
            frame = frame.newer()

    def restore(self):
        if not self.thread.is_valid():
            return
        self.thread.switch()
        frame = gdb.newest_frame()
        for _ in range(self.level):
            frame = frame.older() or frame
        frame.select()


def stack_pointers(limit=100):
    """Those of the frames of the selected thread."""
    frame = gdb.newest_frame()
    for _ in range(limit):
        yield int(frame.read_register(stack_pointer()))
        frame = frame.older()
        if not frame:
            return


def thread_pointer():
    try:
        name = THREAD_POINTER[architecture()]
        return int(gdb.newest_frame().read_register(name))
    except (KeyError, ValueError, gdb.error):
        return None


def find_threads(loops):
    """Which thread runs which task: whose stack it is on. And which loop: its
    errno is near its thread pointer."""
    started = [t for loop in loops for t in loop.live() if t.top]
    threads = [t for t in gdb.selected_inferior().threads()
               if not t.is_running()]
    pointers = []
    for thread in threads:
        thread.switch()
        pointers.append((thread_pointer(), thread))
        try:
            find_running(thread, started)
        except gdb.error:
            pass
    for loop in loops:
        near = [(abs(p - loop.errno_at), t.num, t) for p, t in pointers
                if p and abs(p - loop.errno_at) < 1 << 20]
        if loop.is_running and near and not loop.thread:
            loop.thread = min(near)[2]


def find_running(thread, started):
    """A handler of a signal may be on another stack: look behind it."""
    currents = [t for t in started if t.address == t.loop.current]
    for i, sp in enumerate(stack_pointers()):
        for task in started if i == 0 else currents:
            if task.owns_address(sp):
                task.thread = task.loop.thread = thread
                task.thread_sp = sp
                return


def read_loops():
    """All loops with all tasks, and where each runs."""
    place = Place()
    memory = Memory()
    loops = []
    try:
        for node in memory.list(memory.loops):
            loops.append(Loop(memory, node - memory["loop.node"],
                              len(loops) + 1))
    except Unreadable:
        print("The list of loops is being changed: there may be more.")
    try:
        find_threads(loops)
    finally:
        place.restore()
    return loops


class ParkedUnwinder(gdb.unwinder.Unwinder):
    """Presents a parked task as the caller of the innermost frame, while
    `registers` are set: so neither registers nor memory have to be changed,
    which cores would not allow."""

    class Id:
        """Of that frame: no frame's caller may be further in than itself."""

        def __init__(self, pc):
            self.sp = gdb.Value(0)
            self.pc = pc

    def __init__(self):
        super().__init__("libtask")
        self.registers = None
        self.at = None

    def __call__(self, pending):
        if not self.registers:
            return None
        sp, _, pc = NATIVE[architecture()]
        pc_value = pending.read_register(pc)
        if (int(pending.read_register(sp)), int(pc_value)) != self.at:
            return None
        info = pending.create_unwind_info(self.Id(pc_value))
        for name, value in self.registers.items():
            info.add_saved_register(name, gdb.Value(value))
        return info

    def begin(self, registers):
        """Returns the task's innermost frame, and its level."""
        sp, _, pc = NATIVE[architecture()]
        frame = gdb.newest_frame()
        self.at = (int(frame.read_register(sp)), int(frame.read_register(pc)))
        self.registers = registers
        gdb.invalidate_cached_frames()
        frame = gdb.newest_frame()
        for level in range(MANY):
            if not frame:
                raise gdb.GdbError("Its frames cannot be found.")
            if frame.pc() == registers[pc] and level:
                return frame, level
            frame = frame.older()

    def end(self):
        if self.registers:
            self.registers = None
            gdb.invalidate_cached_frames()


UNWINDER = ParkedUnwinder()


def run_backtrace(command, level):
    """A backtrace from that level on."""
    words = command.split()
    for i, word in enumerate(words):
        if word.isdigit():  # how many frames
            words[i] = str(int(word) + level)
    text = gdb.execute(" ".join(words), to_string=True)
    start = re.search(rf"^#{level}\b", text, re.MULTILINE)
    gdb.write(text[start.start():] if start else text)


def run_command(command, level):
    is_backtrace = command.split()[0] in ("bt", "backtrace", "where")
    if is_backtrace and level:
        run_backtrace(command, level)
    else:
        gdb.execute(command)


def run_in(task, command):
    """A command in the frames of a task; then all is as it was."""
    if task.is_new:
        print(f"It has not begun; it will run {task.function()}.")
        return
    place = Place()
    try:
        if task.thread:
            task.thread.switch()
            gdb.newest_frame().select()
            level = 0
        else:
            frame, level = UNWINDER.begin(task.registers())
            frame.select()
        run_command(command, level)
    except Unreadable:
        print("Its registers cannot be read.")
    finally:
        UNWINDER.end()
        place.restore()


def describe_loop(loop):
    where = f"thread {loop.thread.num}" if loop.thread else "not running"
    if loop.thread and loop.thread.name:
        where += f' "{loop.thread.name}"'
    n = len(loop.live())
    return (f"loop {loop.number} ({loop.address:#x}), {where}: "
            f"{n} task{'' if n == 1 else 's'}")


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        print("  ".join(cells).rstrip())


def mark(task):
    """That is the selected thread's."""
    return "*" if task.thread and task.thread == gdb.selected_thread() else ""


def print_tasks(tasks, several):
    rows = [("", "Id", "Name", "State", "Stack", "Function", "Created at",
             "Waits for")]
    for t in tasks:
        asked = f"{t.waits_for()} (asked to cancel)".strip()
        rows.append((mark(t), t.id() if several else str(t.number), t.name(),
                     t.state(), t.stack_use(), t.function(), t.created_at(),
                     asked if t.cancelling else t.waits_for()))
    print_table(rows)


class InfoTasks(gdb.Command):
    """List the tasks of all loops that have not ended.

Id: the number for the command "task". Stack: how deep it is at present, of
what size. Times are from where the loop looked at the clock last."""

    def __init__(self):
        super().__init__("info tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        loops = read_loops()
        if not loops:
            print("No loops.")
        for i, loop in enumerate(loops):
            if i:
                print()
            print(describe_loop(loop))
            if loop.live():
                print_tasks(loop.live(), len(loops) > 1)


def find_tasks(loops, word):
    """Those that a word names: 7, 2.7, 3-5, 2.3-5."""
    match = re.fullmatch(r"(?:(\d+)\.)?(\d+)(?:-(\d+))?", word)
    if not match:
        raise gdb.GdbError(f'"{word}" is no task: 7, or 2.7 in loop 2.')
    number, first, last = match.groups()
    first, last = int(first), int(last or first)
    found = [t for loop in loops for t in loop.live()
             if first <= t.number <= last
             and (not number or loop.number == int(number))]
    if not found:
        raise gdb.GdbError(f"There is no task {word}.")
    loop = len({t.loop for t in found}) > 1
    if loop and any(t.loop.thread == gdb.selected_thread() for t in found):
        return [t for t in found if t.loop.thread == gdb.selected_thread()]
    if loop:
        ids = ", ".join(t.id() for t in found)
        raise gdb.GdbError(f"Several loops have a task {word}: {ids}.")
    return found


class TaskCommand(gdb.Command):
    """Look at a task, or run a command in its frames.

task: the tasks that threads are running.
task ID: what "info tasks" tells of that one.
task ID COMMAND: a command in its frames: bt, bt full, info locals, frame 3.
task apply ID... COMMAND, task apply all COMMAND: the same in several."""

    def __init__(self):
        super().__init__("task", gdb.COMMAND_STACK, gdb.COMPLETE_COMMAND, True)

    def invoke(self, argument, from_tty):
        loops = read_loops()
        id_word, _, command = argument.strip().partition(" ")
        if not id_word:
            tasks = [t for loop in loops for t in loop.live() if t.thread]
        else:
            tasks = find_tasks(loops, id_word)
        if command.strip():
            for task in tasks:
                run_in(task, command.strip())
        elif tasks:
            print_tasks(tasks, len(loops) > 1)
        else:
            print("No thread is running a task.")


class TaskApply(gdb.Command):
    """Run a command in the frames of several tasks, or of all.

task apply all bt
task apply 3 5-7 info locals"""

    def __init__(self):
        super().__init__("task apply", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        loops = read_loops()
        words = argument.split(" ")
        tasks = []
        if words[0] == "all":
            tasks = [t for loop in loops for t in loop.live()]
            del words[0]
        else:
            while words and re.match(r"\d", words[0]):
                tasks += find_tasks(loops, words.pop(0))
        command = " ".join(words).strip()
        if not command or not (tasks or argument.startswith("all")):
            raise gdb.GdbError("Which tasks, and what? task apply all bt")
        for task in tasks:
            self.run(task, command, len(loops) > 1)

    def run(self, task, command, several):
        waits = task.waits_for()
        number = task.id() if several else task.number
        print(f'\nTask {number} "{task.name()}", {task.state()}'
              + (f", {waits}" if waits else ""))
        try:
            run_in(task, command)
        except (gdb.error, gdb.GdbError) as error:
            print(error)


PAGE = 4096
BLOCK = 256 * PAGE  # what gcore reads at a time


def segments(file):
    """Of a core: where each lies in the file and in memory, and its size."""
    def unpack(format, at):
        file.seek(at)
        data = file.read(struct.calcsize(order + format))
        return struct.unpack(order + format, data)

    file.seek(0)
    head = file.read(6)
    order = "<" if head[5] == 1 else ">"
    if head[:5] != b"\x7fELF\x02":
        raise gdb.GdbError("This needs a core of 64 bits.")
    start, = unpack("Q", 32)
    size, n = unpack("HH", 54)
    for at in range(start, start + size * n, size):
        kind, _, offset, address, _, length = unpack("IIQQQQ", at)
        if kind == 1:  # PT_LOAD
            yield offset, address, length


def copy_pages(memory, file, offset, address, size):
    """Those of a block that can be read, and are not all zero."""
    for at in range(0, size, PAGE):
        try:
            data = memory.read(address + at, PAGE)
        except Unreadable:
            continue
        if any(data):
            file.seek(offset + at)
            file.write(data)


def fill_in(memory, file):
    """What gcore has left out: of each segment all from the first block on
    that it could not read, as there is a guard in it."""
    for offset, address, length in list(segments(file)):
        failed = False
        for at in range(0, length, BLOCK):
            size = min(BLOCK, length - at)
            try:
                failed or memory.read(address + at, size)
            except Unreadable:
                failed = True
            if failed:
                copy_pages(memory, file, offset + at, address + at, size)


class TaskCore(gdb.Command):
    """Write a core that has the tasks' stacks in it.

gcore leaves a mapping out from the first page on that cannot be read: that is
what guards the first of many stacks. The kernel's cores are complete."""

    def __init__(self):
        super().__init__("task gcore", gdb.COMMAND_FILES,
                         gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        Place()  # or there is no process
        path = argument.strip() or f"core.{gdb.selected_inferior().pid}"
        gdb.execute(f"generate-core-file {path}")
        with open(path, "r+b") as file:
            fill_in(Memory(), file)


gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)
InfoTasks()
TaskCommand()
TaskApply()
TaskCore()
