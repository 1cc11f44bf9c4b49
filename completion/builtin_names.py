"""What a language knows without an import: its own names, and the members of its own types.

Python's are read from the Python that runs here. Of the others, what every reader knows.
"""

import builtins
import io
from functools import lru_cache

from completion.languages import words

_JAVASCRIPT = words(
    "Array ArrayBuffer BigInt Boolean DataView Date Error EvalError Function Infinity Intl JSON Map"
    " Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set String"
    " Symbol SyntaxError TypeError URIError Uint8Array Int8Array Uint16Array Int16Array Uint32Array"
    " Int32Array Float32Array Float64Array WeakMap WeakRef WeakSet globalThis isFinite isNaN"
    " parseFloat parseInt decodeURI decodeURIComponent encodeURI encodeURIComponent arguments"
    " console setTimeout setInterval setImmediate clearTimeout clearInterval queueMicrotask fetch"
    " structuredClone window document navigator location history localStorage sessionStorage alert"
    " process require module exports Buffer __dirname __filename URL URLSearchParams Request"
    " Response Headers FormData Blob File AbortController AbortSignal Event EventTarget"
    " TextEncoder TextDecoder ReadableStream WritableStream crypto performance WebSocket"
)
_TYPESCRIPT = _JAVASCRIPT | words(
    "any unknown never string number boolean object symbol bigint Record Partial Required Readonly"
    " Pick Omit Exclude Extract NonNullable ReturnType Parameters Awaited InstanceType"
    " PromiseLike ArrayLike Iterable Iterator AsyncIterable keyof readonly infer is asserts"
)
_GO = words(
    "append cap clear close complex copy delete imag len make max min new panic print println real"
    " recover any bool byte comparable complex64 complex128 error float32 float64 int int8 int16"
    " int32 int64 rune string uint uint8 uint16 uint32 uint64 uintptr iota _"
)
_RUST = words(
    "Option Some None Result Ok Err Box Vec String ToString ToOwned Clone Copy Send Sync Sized Drop"
    " Fn FnMut FnOnce Default Debug Eq PartialEq Ord PartialOrd Hash Iterator IntoIterator Extend"
    " DoubleEndedIterator ExactSizeIterator From Into TryFrom TryInto AsRef AsMut Self drop std core"
    " alloc u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char str println print"
    " eprintln eprint format vec panic assert assert_eq assert_ne debug_assert matches write"
    " writeln todo unimplemented unreachable derive cfg test dbg include_str env concat _"
)
_C = words(
    "size_t ssize_t ptrdiff_t int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t"
    " intptr_t uintptr_t FILE stdin stdout stderr errno NULL assert malloc calloc realloc free"
    " memcpy memmove memset memcmp strlen strcmp strncmp strcpy strncpy strcat strchr strstr strdup"
    " printf fprintf sprintf snprintf fopen fclose fread fwrite exit abort defined"
)
_JAVA = words(
    "String Object Integer Long Double Float Boolean Character Byte Short Number Math System"
    " Thread Runnable Exception RuntimeException IllegalArgumentException IllegalStateException"
    " NullPointerException Override Deprecated Iterable Comparable StringBuilder Class Void"
)
_NAMES = {
    "javascript": _JAVASCRIPT,
    "javascriptreact": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "typescriptreact": _TYPESCRIPT,
    "go": _GO,
    "rust": _RUST,
    "c": _C,
    "cpp": _C
    | words("std string vector map set unique_ptr shared_ptr move forward override final"),
    "java": _JAVA,
}
_JAVASCRIPT_MEMBERS = words(
    "length push pop shift unshift slice splice concat join reverse sort indexOf lastIndexOf"
    " includes find findIndex findLast filter map flatMap flat forEach reduce reduceRight some"
    " every fill keys values entries at charAt charCodeAt codePointAt startsWith endsWith"
    " padStart padEnd repeat replace replaceAll match matchAll search split substring substr trim"
    " trimStart trimEnd toLowerCase toUpperCase toString valueOf hasOwnProperty constructor"
    " prototype call apply bind then catch finally get set has delete add clear size next done"
    " value name message stack cause test exec source flags global log error warn info debug"
    " parse stringify assign freeze fromEntries isArray from of resolve reject all race allSettled"
    " any floor ceil round abs min max random sqrt pow now getTime toISOString toFixed isInteger"
    " toJSON text json ok status headers body method url on once off emit"
)
_RUST_MEMBERS = words(
    "new len is_empty push pop insert remove get get_mut iter iter_mut into_iter map filter"
    " filter_map flat_map for_each fold collect any all find position enumerate zip chain take skip"
    " rev next peekable unwrap expect unwrap_or unwrap_or_else unwrap_or_default is_some is_none"
    " is_ok is_err ok err ok_or ok_or_else map_err and_then or_else as_ref as_mut as_str as_bytes"
    " to_string to_owned to_vec into from clone cloned copied borrow borrow_mut lock read write"
    " contains contains_key starts_with ends_with split trim parse chars bytes lines replace join"
    " extend clear sort sort_by first last min max sum count with_capacity default eq cmp hash fmt"
    " drain retain truncate entry or_insert or_insert_with keys values display path"
)
_MEMBERS = {
    "javascript": _JAVASCRIPT_MEMBERS,
    "javascriptreact": _JAVASCRIPT_MEMBERS,
    "typescript": _JAVASCRIPT_MEMBERS,
    "typescriptreact": _JAVASCRIPT_MEMBERS,
    "go": words("type Error String Close Read Write Len Add Done Wait Lock Unlock"),
    "rust": _RUST_MEMBERS,
    "java": words("length size get set add remove contains equals hashCode toString println"),
}
_PYTHON_TYPES = (
    *(object, str, bytes, bytearray, int, float, complex, bool, list, tuple, dict, set, frozenset),
    *(range, slice, property, memoryview, BaseException, OSError, SyntaxError, io.TextIOWrapper),
    *(io.BytesIO, io.StringIO, type, type(lambda: None), type(io), type(x for x in ())),
)


@lru_cache(maxsize=32)
def builtin_names(language: str) -> frozenset[str]:
    if language == "python":
        module = "__name__ __file__ __doc__ __all__ __package__ __spec__ __path__ __version__"
        return frozenset(dir(builtins)) | words(module + " self cls _ match case type print exec")
    return _NAMES.get(language, frozenset())


@lru_cache(maxsize=32)
def builtin_members(language: str) -> frozenset[str]:
    if language == "python":
        return frozenset(name for one in _PYTHON_TYPES for name in dir(one))
    return _MEMBERS.get(language, frozenset())
