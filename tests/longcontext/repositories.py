"""Small repositories in every language, and what needs what in them."""

# Of each: path -> (language, content), and the edges that its links make, `~` before the target where it is only used.
REPOSITORIES = {
    "python src layout": (
        {
            "src/kiln/__init__.py": ("Python", "from .heat import Heat\nfrom kiln.clay import *\n"),
            "src/kiln/heat.py": ("Python", "import json\nfrom . import clay\nfrom .glaze.blue import tint as shade\n"),
            "src/kiln/clay.py": ("Python", "def lump():\n    from kiln.glaze import blue\n    return blue\n"),
            "src/kiln/glaze/__init__.py": ("Python", ""),
            "src/kiln/glaze/blue.py": ("Python", "import kiln.clay as c\n"),
            "tests/test_heat.py": ("Python", "from kiln import Heat\nimport kiln.glaze.blue, helper\n"),
            "tests/helper.py": ("Python", "import os\n"),
            "tools/json.py": ("Python", "print('no module of the package')\n"),
        },
        {
            "src/kiln/__init__.py": ["src/kiln/heat.py", "src/kiln/clay.py"],
            "src/kiln/heat.py": ["src/kiln/clay.py", "src/kiln/glaze/blue.py"],
            "src/kiln/clay.py": ["src/kiln/glaze/blue.py"],
            "src/kiln/glaze/blue.py": ["src/kiln/clay.py"],
            # `Heat` is only handed on by the package: the edge leads to where it is.
            "tests/test_heat.py": ["src/kiln/heat.py", "src/kiln/glaze/blue.py", "tests/helper.py"],
        },
    ),
    "java and kotlin": (
        {
            "core/src/main/java/org/loom/Warp.java": (
                "Java",
                "package org.loom;\n\nimport java.util.List;\nimport org.loom.yarn.Wool;\n\n"
                "public class Warp { Weft weft; Wool wool; List<Wool> all; }\n",
            ),
            "core/src/main/java/org/loom/Weft.java": (
                "Java",
                "package org.loom;\n\nimport static org.loom.yarn.Dyes.RED;\nimport org.loom.yarn.*;\n\n"
                "class Weft { Object o = RED; Silk silk; }\n",
            ),
            "core/src/main/java/org/loom/yarn/Wool.java": ("Java", "package org.loom.yarn;\npublic class Wool {}\n"),
            "core/src/main/java/org/loom/yarn/Silk.java": ("Java", "package org.loom.yarn;\npublic record Silk() {}\n"),
            "core/src/main/java/org/loom/yarn/Dyes.java": (
                "Java",
                "package org.loom.yarn;\npublic class Dyes { static int RED = 1; }\n",
            ),
            "core/src/main/kotlin/org/loom/Shed.kt": (
                "Kotlin",
                "package org.loom\n\nimport org.loom.yarn.Wool as W\nimport org.loom.tie.knot\n\n"
                "class Shed(val warp: Warp) { fun f() = knot(W()) }\n",
            ),
            "core/src/main/kotlin/org/loom/tie/Knots.kt": ("Kotlin", "package org.loom.tie\n\nfun knot(x: Any) = x\n"),
            "core/src/main/java/org/loom/Facade.java": (
                "Java",
                "package org.loom;\nimport org.loom.tie.KnotsKt;\nclass Facade { Object o = KnotsKt.knot(1); }\n",
            ),
        },
        {
            "core/src/main/java/org/loom/Warp.java": [
                "core/src/main/java/org/loom/yarn/Wool.java",
                "~core/src/main/java/org/loom/Weft.java",
            ],
            "core/src/main/java/org/loom/Weft.java": [
                "core/src/main/java/org/loom/yarn/Dyes.java",
                "core/src/main/java/org/loom/yarn/Silk.java",
            ],
            "core/src/main/kotlin/org/loom/Shed.kt": [
                "core/src/main/java/org/loom/yarn/Wool.java",
                "core/src/main/kotlin/org/loom/tie/Knots.kt",
                "~core/src/main/java/org/loom/Warp.java",
            ],
            "core/src/main/java/org/loom/Facade.java": ["core/src/main/kotlin/org/loom/tie/Knots.kt"],
        },
    ),
    "c and c++": (
        {
            "include/pump/valve.h": ("C", "#include <stddef.h>\n#include <pump/types.h>\n"),
            "include/pump/types.h": ("C", "typedef int flow;\n"),
            "src/valve.c": ("C", '#include "pump/valve.h"\n#include "local.h"\n#include <string.h>\n'),
            "src/local.h": ("C", "int drip;\n"),
            "src/other/local.h": ("C", "int drop;\n"),
            "src/other/rotor.cc": ("C++", '#include "local.h"\n#include "../valve_more.hpp"\n#include <types.h>\n'),
            "src/valve_more.hpp": ("C++", "#include <vector>\n"),
            "src/string.h": ("C", "int not_the_system_one;\n"),
            "gpu/spin.cu": ("Cuda", '#include "pump/types.h"\n'),
            "mac/view.m": ("Objective-C", '#import "pump/valve.h"\n'),
        },
        {
            "include/pump/valve.h": ["include/pump/types.h"],
            "src/valve.c": ["include/pump/valve.h", "src/local.h"],
            "src/other/rotor.cc": ["src/other/local.h", "src/valve_more.hpp"],
            "gpu/spin.cu": ["include/pump/types.h"],
            "mac/view.m": ["include/pump/valve.h"],
        },
    ),
    "go": (
        {
            "main.go": (
                "Go",
                'package main\n\nimport (\n\t"fmt"\n\tg "example.org/mill/grain"\n)\n\n'
                "func main() { fmt.Println(g.Wheat, stones()) }\n",
            ),
            "stones.go": ("Go", "package main\n\nfunc stones() int { return 2 }\n"),
            "grain/wheat.go": (
                "Go",
                'package grain\n\nimport "example.org/mill/grain/husk"\n\nconst Wheat = husk.Thin\n',
            ),
            "grain/rye.go": ("Go", "package grain\n\nvar Rye = Wheat + 1\n"),
            "grain/rye_test.go": ("Go", "package grain\n\nfunc TestRye() { _ = Rye }\n"),
            "grain/husk/husk.go": ("Go", "package husk\n\nconst (\n\tThin = iota\n\tThick\n)\n"),
        },
        {
            "main.go": ["grain/wheat.go", "~stones.go"],
            "grain/wheat.go": ["grain/husk/husk.go"],
            "grain/rye.go": ["~grain/wheat.go"],
            "grain/rye_test.go": ["~grain/rye.go"],
        },
    ),
    "javascript and typescript": (
        {
            "tsconfig.json": (
                "JSON with Comments",
                "{\n  // where things are\n"
                '  "compilerOptions": {"baseUrl": ".", "paths": {"~web/*": ["web/src/*"],}}\n}\n',
            ),
            "packages/units/package.json": ("JSON", '{"name": "@scale/units", "main": "./src/index.ts"}'),
            "packages/units/src/index.ts": ("TypeScript", 'export * from "./gram";\n'),
            "packages/units/src/gram.ts": ("TypeScript", "export const gram = 1;\n"),
            "web/src/app.tsx": (
                "TSX",
                'import React from "react";\nimport { gram } from "@scale/units";\nimport Pan from "./pan";\n'
                'import style from "./app.css";\nconst Lazy = React.lazy(() => import("~web/dial"));\n',
            ),
            "web/src/pan/index.tsx": ("TSX", 'import { weigh } from "@/weigh";\n'),
            "web/src/dial.ts": (
                "TypeScript",
                'import type { Weigh } from "./weigh.js";\nimport old = require("./old");\n',
            ),
            "web/src/weigh.ts": ("TypeScript", "export const weigh = 1;\n"),
            "web/src/old.js": ("JavaScript", 'const fs = require("fs");\nconst w = require("./weigh");\n'),
        },
        {
            "packages/units/src/index.ts": ["packages/units/src/gram.ts"],
            "web/src/app.tsx": ["packages/units/src/index.ts", "web/src/pan/index.tsx", "web/src/dial.ts"],
            "web/src/pan/index.tsx": ["web/src/weigh.ts"],
            "web/src/dial.ts": ["web/src/weigh.ts", "web/src/old.js"],
            "web/src/old.js": ["web/src/weigh.ts"],
        },
    ),
    "rust": (
        {
            "crates/sail-cloth/src/lib.rs": (
                "Rust",
                "mod rope;\npub mod mast;\npub use rope::Knot;\n",
            ),
            "crates/sail-cloth/src/rope.rs": (
                "Rust",
                "use std::fmt;\nuse super::mast::{self, Boom as B};\npub struct Knot;\n",
            ),
            "crates/sail-cloth/src/mast/mod.rs": (
                "Rust",
                'mod top;\n#[path = "lower.rs"]\nmod low;\nuse crate::Knot;\n',
            ),
            "crates/sail-cloth/src/mast/top.rs": (
                "Rust",
                "use super::low::Foot;\nmod tests { use super::*; use crate::rope; }\n",
            ),
            "crates/sail-cloth/src/mast/lower.rs": ("Rust", "pub struct Foot;\n"),
            "crates/ship/src/main.rs": ("Rust", "use sail_cloth::Knot;\nmod crew;\nfn main() { crew::run(); }\n"),
            "crates/ship/src/crew.rs": ("Rust", "pub fn run() { sail_cloth::x(); }\n"),
            "crates/ship/tests/voyage.rs": ("Rust", "mod common;\nuse sail_cloth::mast::Boom;\n"),
            "crates/ship/tests/common/mod.rs": ("Rust", "use serde::Serialize;\n"),
        },
        {
            "crates/sail-cloth/src/lib.rs": ["crates/sail-cloth/src/rope.rs", "crates/sail-cloth/src/mast/mod.rs"],
            "crates/sail-cloth/src/rope.rs": ["crates/sail-cloth/src/mast/mod.rs"],
            "crates/sail-cloth/src/mast/mod.rs": [
                "crates/sail-cloth/src/mast/top.rs",
                "crates/sail-cloth/src/mast/lower.rs",
                "crates/sail-cloth/src/rope.rs",
            ],
            # A module that an attribute keeps elsewhere is named through its parent.
            "crates/sail-cloth/src/mast/top.rs": ["crates/sail-cloth/src/mast/mod.rs", "crates/sail-cloth/src/rope.rs"],
            "crates/ship/src/main.rs": ["crates/sail-cloth/src/rope.rs", "crates/ship/src/crew.rs"],
            "crates/ship/tests/voyage.rs": ["crates/ship/tests/common/mod.rs", "crates/sail-cloth/src/mast/mod.rs"],
        },
    ),
    "c#": (
        {
            "Lens/Glass.cs": (
                "C#",
                "using System;\nusing Lens.Optics;\nnamespace Lens\n{\n    public class Glass { Prism p; }\n}\n",
            ),
            "Lens/Optics/Prism.cs": ("C#", "namespace Lens.Optics;\npublic struct Prism { Angle a; Glass g; }\n"),
            "Lens/Optics/Angle.cs": ("C#", "namespace Lens.Optics;\npublic enum Angle { Wide }\n"),
            "Lens/Usings.cs": ("C#", "global using Lens.Tools;\n"),
            "Lens/Tools/Polish.cs": ("C#", "namespace Lens.Tools { public static class Polish { } }\n"),
            "Shop/Bench.cs": (
                "C#",
                "using Wide = Lens.Optics.Angle;\nusing static Lens.Tools.Polish;\n"
                "namespace Shop { class Bench { Wide w; } }\n",
            ),
            "Shop/Till.cs": ("C#", "namespace Shop { class Till { void F() { Polish.X(); } } }\n"),
        },
        {
            "Lens/Glass.cs": ["Lens/Optics/Prism.cs"],
            "Lens/Optics/Prism.cs": ["~Lens/Optics/Angle.cs", "~Lens/Glass.cs"],
            "Shop/Bench.cs": ["Lens/Optics/Angle.cs", "Lens/Tools/Polish.cs"],
            "Shop/Till.cs": ["~Lens/Tools/Polish.cs"],
        },
    ),
    "php": (
        {
            "src/Bell.php": (
                "PHP",
                "<?php\nnamespace Tower;\nuse Tower\\Metal\\{Bronze, Iron as Fe};\nuse function Tower\\ring;\n"
                "use Other\\Thing;\nclass Bell { function f(Bronze $b, Fe $i, Clapper $c) { ring(); } }\n",
            ),
            "src/Clapper.php": (
                "PHP",
                "<?php\nnamespace Tower;\nclass Clapper { function f() { return new \\Tower\\Metal\\Iron(); } }\n",
            ),
            "src/Metal/Bronze.php": ("PHP", "<?php\nnamespace Tower\\Metal;\nfinal class Bronze {}\n"),
            "src/Metal/Iron.php": ("PHP", "<?php\nnamespace Tower\\Metal;\ninterface Iron {}\n"),
            "src/functions.php": ("PHP", "<?php\nnamespace Tower;\nfunction ring() {}\n"),
            "bin/start.php": (
                "PHP",
                "<?php\nrequire_once __DIR__ . '/../src/functions.php';\ninclude 'options.php';\nrequire $x;\n",
            ),
            "bin/options.php": ("PHP", "<?php\nreturn require dirname(__FILE__) . '/more/all.php';\n"),
            "bin/more/all.php": ("PHP", "<?php\nreturn [];\n"),
        },
        {
            "src/Bell.php": ["src/Metal/Bronze.php", "src/Metal/Iron.php", "src/functions.php", "~src/Clapper.php"],
            "src/Clapper.php": ["~src/Metal/Iron.php"],
            "bin/start.php": ["src/functions.php", "bin/options.php"],
            "bin/options.php": ["bin/more/all.php"],
        },
    ),
    "ruby": (
        {
            "lib/quarry.rb": (
                "Ruby",
                'require "json"\nrequire "quarry/stone"\nmodule Quarry\n  autoload :Dust, "quarry/dust"\nend\n',
            ),
            "lib/quarry/stone.rb": (
                "Ruby",
                'require_relative "chisel_set"\nmodule Quarry\n  class Stone\n  end\nend\n',
            ),
            "lib/quarry/chisel_set.rb": ("Ruby", "module Quarry\n  class ChiselSet\n  end\nend\n"),
            "lib/quarry/dust.rb": ("Ruby", "module Quarry\n  class Dust\n    def f = ChiselSet.new\n  end\nend\n"),
            "test/helper.rb": ("Ruby", 'require "quarry"\n'),
            "test/stone_test.rb": (
                "Ruby",
                'require "helper"\nclass StoneTest\n  Quarry::Stone\n  File.open("x")\nend\n',
            ),
            "lib/quarry/file.rb": ("Ruby", "module Quarry\n  class File\n  end\nend\n"),
        },
        {
            "lib/quarry.rb": ["lib/quarry/stone.rb", "lib/quarry/dust.rb"],
            "lib/quarry/stone.rb": ["lib/quarry/chisel_set.rb"],
            "lib/quarry/dust.rb": ["~lib/quarry/chisel_set.rb"],
            "test/helper.rb": ["lib/quarry.rb"],
            "test/stone_test.rb": ["test/helper.rb", "~lib/quarry/stone.rb"],
        },
    ),
}
