(class_declaration "interface" name: (_) @name (class_body)? @body) @definition.interface
(class_declaration "class" name: (_) @name (class_body)? @body) @definition.class
(class_declaration name: (_) @name (enum_class_body) @body) @definition.enum
(object_declaration name: (_) @name (class_body)? @body) @definition.class
(companion_object name: (_) @name (class_body)? @body) @definition.class
(enum_entry (identifier) @name) @definition.constant
(function_declaration name: (_) @name (function_body)? @body) @definition.function
(type_alias type: (_) @name) @definition.type
(class_parameter ["val" "var"] (identifier) @name) @definition.field
(source_file (property_declaration (variable_declaration (identifier) @name)) @definition.constant)
(class_body (property_declaration (variable_declaration (identifier) @name)) @definition.field)

(import (qualified_identifier) @path "*"? @imported (identifier)? @alias) @import
