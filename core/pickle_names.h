// core/pickle_names.h: what a pickle may name, and names for the opcodes that it may not use.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/dtype.h"

namespace linea {

// What becomes of a call of the symbol, or that it may not be called.
enum class PickleRole : uint8_t { kDict, kTuple, kOther, kRebuild, kRebuildTyped, kParameter, kStorage, kUntypedStorage, kDType };

struct PickleSymbol {
  std::string_view module, name;
  PickleRole role;
  DType dtype = DType::kU8;
};

struct PickleOpcode {
  uint8_t code;
  std::string_view name;
};

// Everything that a pickle may name.
constexpr PickleSymbol kPickleSymbols[] = {
    {"collections", "OrderedDict", PickleRole::kDict},
    {"torch", "Size", PickleRole::kTuple},
    {"torch", "device", PickleRole::kOther},
    {"torch._utils", "_rebuild_tensor", PickleRole::kRebuild},
    {"torch._utils", "_rebuild_tensor_v2", PickleRole::kRebuild},
    {"torch._utils", "_rebuild_tensor_v3", PickleRole::kRebuildTyped},
    {"torch._utils", "_rebuild_parameter", PickleRole::kParameter},
    {"torch._utils", "_rebuild_parameter_with_state", PickleRole::kParameter},
    {"torch.nn.parameter", "Parameter", PickleRole::kParameter},
    {"torch", "DoubleStorage", PickleRole::kStorage, DType::kF64},
    {"torch", "FloatStorage", PickleRole::kStorage, DType::kF32},
    {"torch", "HalfStorage", PickleRole::kStorage, DType::kF16},
    {"torch", "BFloat16Storage", PickleRole::kStorage, DType::kBF16},
    {"torch", "LongStorage", PickleRole::kStorage, DType::kI64},
    {"torch", "IntStorage", PickleRole::kStorage, DType::kI32},
    {"torch", "ShortStorage", PickleRole::kStorage, DType::kI16},
    {"torch", "CharStorage", PickleRole::kStorage, DType::kI8},
    {"torch", "ByteStorage", PickleRole::kStorage, DType::kU8},
    {"torch", "BoolStorage", PickleRole::kStorage, DType::kBool},
    {"torch.storage", "UntypedStorage", PickleRole::kUntypedStorage},
    {"torch", "UntypedStorage", PickleRole::kUntypedStorage},
    {"torch", "float64", PickleRole::kDType, DType::kF64},
    {"torch", "float32", PickleRole::kDType, DType::kF32},
    {"torch", "float16", PickleRole::kDType, DType::kF16},
    {"torch", "bfloat16", PickleRole::kDType, DType::kBF16},
    {"torch", "float8_e4m3fn", PickleRole::kDType, DType::kF8E4M3},
    {"torch", "float8_e5m2", PickleRole::kDType, DType::kF8E5M2},
    {"torch", "int64", PickleRole::kDType, DType::kI64},
    {"torch", "int32", PickleRole::kDType, DType::kI32},
    {"torch", "int16", PickleRole::kDType, DType::kI16},
    {"torch", "int8", PickleRole::kDType, DType::kI8},
    {"torch", "uint8", PickleRole::kDType, DType::kU8},
    {"torch", "bool", PickleRole::kDType, DType::kBool},
};

// Opcodes that are refused, for the message.
constexpr PickleOpcode kRefusedOpcodes[] = {{'0', "POP"},
                                            {'1', "POP_MARK"},
                                            {'2', "DUP"},
                                            {'F', "FLOAT"},
                                            {'I', "INT"},
                                            {'L', "LONG"},
                                            {'P', "PERSID"},
                                            {'S', "STRING"},
                                            {'V', "UNICODE"},
                                            {'B', "BINBYTES"},
                                            {'C', "SHORT_BINBYTES"},
                                            {'d', "DICT"},
                                            {'g', "GET"},
                                            {'i', "INST"},
                                            {'l', "LIST"},
                                            {'o', "OBJ"},
                                            {'p', "PUT"},
                                            {0x82, "EXT1"},
                                            {0x83, "EXT2"},
                                            {0x84, "EXT4"},
                                            {0x8b, "LONG4"},
                                            {0x8d, "BINUNICODE8"},
                                            {0x8e, "BINBYTES8"},
                                            {0x8f, "EMPTY_SET"},
                                            {0x90, "ADDITEMS"},
                                            {0x91, "FROZENSET"},
                                            {0x92, "NEWOBJ_EX"},
                                            {0x93, "STACK_GLOBAL"},
                                            {0x94, "MEMOIZE"},
                                            {0x95, "FRAME"},
                                            {0x96, "BYTEARRAY8"},
                                            {0x97, "NEXT_BUFFER"},
                                            {0x98, "READONLY_BUFFER"}};

}  // namespace linea
