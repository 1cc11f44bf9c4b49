(struct_item name: (_) @name body: (field_declaration_list) @body) @definition.struct
(struct_item name: (_) @name) @definition.struct
(union_item name: (_) @name body: (_) @body) @definition.struct
(enum_item name: (_) @name body: (_) @body) @definition.enum
(enum_variant name: (_) @name) @definition.constant
(trait_item name: (_) @name body: (_) @body) @definition.trait
(impl_item type: [
  (type_identifier) @name
  (generic_type type: (_) @name)
  (scoped_type_identifier name: (_) @name)
  (reference_type type: (type_identifier) @name)] body: (_) @body) @scope
(mod_item name: (_) @name body: (_) @body) @definition.module
(function_item name: (_) @name body: (_) @body) @definition.function
(function_signature_item name: (_) @name) @definition.function
(macro_definition name: (_) @name) @definition.macro
(type_item name: (_) @name) @definition.type
(const_item name: (_) @name) @definition.constant
(static_item name: (_) @name) @definition.constant
(struct_item body: (field_declaration_list (field_declaration name: (_) @name) @definition.field))

(use_declaration argument: (identifier) @module) @import
(use_declaration argument: (scoped_identifier path: (_) @module name: (_) @imported)) @import
(use_declaration argument: (use_as_clause
  path: (scoped_identifier path: (_) @module name: (_) @imported) alias: (_) @alias)) @import
(use_declaration argument: (use_as_clause path: (identifier) @module alias: (_) @alias)) @import
(use_declaration argument: (use_wildcard (_) @module "*" @imported)) @import
(use_declaration argument: (scoped_use_list path: (_) @module list: (use_list [
  (identifier) @imported
  (self) @imported
  (use_as_clause path: (identifier) @imported alias: (_) @alias)
  (scoped_identifier path: (_) @under name: (_) @imported)
  (use_as_clause path: (scoped_identifier path: (_) @under name: (_) @imported) alias: (_) @alias)
  (use_wildcard (_) @under "*" @imported)
  (scoped_use_list path: (_) @under list: (use_list [
    (identifier) @imported
    (self) @imported
    (use_as_clause path: (identifier) @imported alias: (_) @alias)
    (use_wildcard (_) @under "*" @imported)]))]))) @import
(extern_crate_declaration name: (_) @module) @import
(mod_item name: (_) @module !body) @import
